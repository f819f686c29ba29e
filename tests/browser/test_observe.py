"""What admins and teams do after the first hour: find a failed call, read the bill, manage teams and keys."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.product import Product

MB = 2**20
PART = 16 * MB
CONFIG = """
litellm_settings:
  num_retries: 4
"""


@pytest.fixture
def tab(visit: Visit, seeded: Product) -> Visit:
    return visit


def test_three_clicks_lead_to_why_a_call_failed(tab: Visit):
    page = tab.go("/")
    page.get_by_role("link", name="Requests", exact=True).click()
    page.get_by_label("Outcome").select_option("failed")
    expect(page.get_by_role("cell", name="200")).to_have_count(0)
    page.get_by_label("Time", exact=True).select_option("30d")
    failed = page.get_by_role("row").filter(has_text="503 upstream_unavailable").first
    failed.get_by_role("link").first.click()
    drawer = page.get_by_role("dialog")
    expect(drawer).to_contain_text("The provider was overloaded or down.")
    expect(drawer).to_contain_text("What to do")
    expect(drawer.get_by_role("link", name="Models")).to_be_visible()
    tab.shoot("request-drawer")
    assert tab.violations() == []
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    assert "outcome=failed" in page.url


def test_usage_opens_on_this_month_by_team_and_its_csv_adds_up(tab: Visit):
    page = tab.go("/")
    page.get_by_role("link", name="Usage", exact=True).first.click()
    expect(page.get_by_role("columnheader", name="Team")).to_be_visible()
    shown = page.get_by_role("row").filter(has_text="All").locator("b").last.inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(StringIO(Path(download.value.path()).read_text())))
    assert len(rows) > 20
    total = sum(Decimal(row["cost_usd"]) for row in rows)
    assert shown == f"${total:,.2f}"


def test_a_group_of_the_usage_leads_to_what_is_in_it(tab: Visit):
    page = tab.go("/usage/")
    page.get_by_role("link", name="Support bot").click()
    expect(page.get_by_role("link", name="Team: Support bot")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Key")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="prod of Support bot")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="prod of Research")).to_have_count(0)


def test_the_palette_finds_pages_keys_and_requests_by_keyboard(tab: Visit):
    page = tab.go("/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+k")
    field = page.get_by_role("searchbox", name=re.compile("Search pages"))
    expect(field).to_be_focused()
    page.keyboard.type("support")
    expect(page.get_by_role("link", name="prod of Support bot")).to_be_visible()
    tab.shoot("palette")
    assert tab.violations() == []
    field.fill("req_seed00000012")
    expect(page.get_by_role("link", name="req_seed00000012")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="req_seed00000012")).to_be_visible()


def test_letters_lead_to_pages_and_the_sheet_names_them(tab: Visit):
    page = tab.go("/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Shortcuts")).to_be_visible()
    assert tab.violations() == []
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", name="Requests")).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.keyboard.press("j")
    expect(page.locator("[data-row]").first).to_be_focused()


def test_filters_can_be_kept_under_a_name(tab: Visit):
    page = tab.go("/requests/")
    page.wait_for_load_state("networkidle")
    page.get_by_label("Outcome").select_option("server")
    page.wait_for_url("**outcome=server**")
    page.get_by_text("Views").click()
    page.get_by_label("Save these filters as").fill("broken providers")
    page.get_by_role("button", name="Save view").click()
    expect(page.get_by_text("was saved")).to_be_visible()
    page.goto(f"{tab.url}/requests/")
    page.get_by_text("Views").click()
    tab.shoot("saved-views")
    page.get_by_role("link", name="broken providers").click()
    expect(page.get_by_label("Outcome")).to_have_value("server")


def test_new_calls_come_in_while_one_looks(tab: Visit, product: Product):
    page = tab.go("/requests/")
    page.get_by_role("link", name="Live", exact=True).click()
    expect(page.get_by_role("link", name="Stop live")).to_be_visible()
    page.wait_for_load_state("networkidle")
    product.manage(
        "shell", "-v", "0", "-c", "from tests.browser.seeding import one_more; one_more('req_live1')"
    )
    expect(page.get_by_text("req_live1")).to_be_visible()


def test_a_team_is_made_with_a_budget_and_gets_a_member(tab: Visit):
    page = tab.go("/teams/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("n")
    page.get_by_label("Name", exact=True).fill("Violet")
    page.get_by_label("Budget in dollars").fill("50")
    page.get_by_label("Budget starts anew").select_option("30d")
    tab.shoot("team-new-dialog")
    assert tab.violations() == []
    page.get_by_role("button", name="Make team").click()
    expect(page.get_by_role("heading", name="Violet")).to_be_visible()
    page.get_by_label("E-mail of the new member").fill("ada@example.com")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("cell", name="Ada Lovelace")).to_be_visible()
    with page.expect_navigation():
        page.get_by_label("Role of ada@example.com").select_option("viewer")
    expect(page.get_by_label("Role of ada@example.com")).to_have_value("viewer")
    tab.shoot("team-violet")
    page.goto(f"{tab.url}/teams/")
    expect(page.get_by_role("row").filter(has_text="Violet")).to_contain_text("$0.00 of $50.00")


def test_an_invitation_is_a_link_that_is_shown_once(tab: Visit):
    page = tab.go("/people/")
    page.get_by_role("link", name="Invite").click()
    page.locator("#person_email").fill("grace@example.com")
    page.locator("#person_team").select_option(label="Violet")
    page.get_by_role("button", name="Make link").click()
    link = page.locator("#secret")
    expect(link).to_contain_text("/join/")
    tab.shoot("invitation")
    shown = link.inner_text()
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("heading", name="Open invitations")).to_be_visible()
    assert shown not in page.content()
    page.get_by_role("button", name="Withdraw").click()
    page.get_by_role("dialog").get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("heading", name="Open invitations")).to_have_count(0)


def test_an_import_shows_its_changes_before_it_makes_them(tab: Visit):
    page = tab.go("/settings/")
    page.get_by_role("link", name="Import config.yaml").click()
    page.get_by_label("Or its text").fill(CONFIG)
    page.get_by_role("button", name="Show what would change").click()
    expect(page.get_by_role("region", name="Changes")).to_contain_text("num_retries")
    tab.shoot("import-diff")
    assert tab.violations() == []
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()
    expect(page.get_by_text("num_retries", exact=True)).to_be_visible()


def test_the_trail_tells_who_did_that(tab: Visit):
    page = tab.go("/audit/?kind=team")
    first = page.get_by_role("listitem").filter(has_text="Violet").first
    expect(first).to_contain_text("ada@example.com")
    first.get_by_text("fields").click()
    expect(first).to_contain_text("max_budget")
    tab.shoot("audit-open")
    assert tab.violations() == []


def test_a_key_is_changed_and_rolled(tab: Visit):
    page = tab.go("/keys/?q=first+program")
    page.get_by_role("link", name="first program").click()
    page.get_by_label("Requests per minute").fill("120")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("was saved")).to_be_visible()
    expect(page.get_by_label("Requests per minute")).to_have_value("120")
    tab.shoot("key-changed")
    before = page.get_by_text("sk-…").first.inner_text()
    page.get_by_role("button", name="Roll").click()
    page.get_by_role("dialog").get_by_role("button", name="New value").click()
    expect(page.locator("#secret")).to_contain_text("sk-")
    page.get_by_role("link", name="Done").click()
    assert page.get_by_text(before, exact=True).count() == 0


def test_the_playground_shows_the_same_as_code(tab: Visit):
    page = tab.go("/playground/")
    page.get_by_label("Message").fill("What's new?")
    page.get_by_role("button", name="View code").click()
    expect(page.locator("#code-openai")).to_contain_text("chat.completions.create")
    expect(page.locator("#code-openai")).to_contain_text("What's new?")
    expect(page.locator("#code-curl")).to_contain_text("/v1/chat/completions")
    tab.shoot("playground-code")
    assert tab.violations() == []


def test_two_models_answer_side_by_side(tab: Visit):
    page = tab.go("/playground/")
    page.get_by_label("Model", exact=True).select_option("gemini-3.5-flash")
    page.locator("#second").select_option("gpt-5.4")
    page.get_by_label("Message").fill("Who are you?")
    page.keyboard.press("Enter")
    for name in ("gemini-3.5-flash", "gpt-5.4"):
        expect(page.get_by_role("article", name=name)).to_contain_text("tokens in")
    tab.shoot("playground-compared")
    assert tab.violations() == []
    page.get_by_role("article", name="gpt-5.4").get_by_role("link", name="Details").click()
    expect(page.get_by_role("heading", name=re.compile("req_"))).to_be_visible()
    expect(page.get_by_text("gpt-5.4 →")).to_be_visible()


def test_a_large_file_is_paused_reloaded_and_goes_on_where_it_was(tab: Visit, tmp_path: Path):
    film = tmp_path / "long film.bin"
    film.write_bytes(b"\x01\x02\x03\x04" * (6 * PART // 4) + b"end")
    page = tab.go("/files/")
    page.wait_for_load_state("networkidle")
    sent: list[str] = []
    page.on(
        "requestfinished",
        lambda request: sent.append(request.url) if request.url.endswith("/parts") else None,
    )
    slow = page.context.new_cdp_session(page)
    slow.send("Network.enable")
    throttle(slow, 30 * MB)
    choose(page, film)
    card = page.locator(".upload").filter(has_text="long film.bin")
    expect(card).to_contain_text("left")
    card.get_by_role("button", name="Pause").click()
    expect(card).to_contain_text("Paused")
    tab.shoot("upload-paused")
    assert tab.violations() == []
    card.get_by_role("button", name="Resume").click()
    expect(card).to_contain_text(re.compile("[6-9]\\d %"))
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(card).to_contain_text("Interrupted at")
    arrived = len(sent)
    assert arrived >= 1
    throttle(slow, -1)
    choose(page, film)
    expect(page.get_by_role("link", name="long film.bin", exact=True)).to_be_visible(timeout=60_000)
    assert len(sent) <= 7 + 1, "what had arrived was sent again"
    expect(card).to_have_count(0)


def test_the_first_lines_of_a_text_are_shown_as_text(tab: Visit, tmp_path: Path):
    table = tmp_path / "lines.csv"
    table.write_text("name,markup\nbold,<b>not bold</b>\n")
    page = tab.go("/files/")
    choose(page, table)
    page.get_by_role("link", name="lines.csv", exact=True).click()
    expect(page.get_by_role("region", name="First lines of lines.csv")).to_contain_text("<b>not bold</b>")
    tab.shoot("file-preview")


def choose(page: Page, path: Path) -> None:
    page.locator("file-uploader input[type=file]").set_input_files(path)


def throttle(session, bytes_per_second: int) -> None:
    conditions = {
        "offline": False,
        "latency": 0,
        "downloadThroughput": -1,
        "uploadThroughput": bytes_per_second,
    }
    session.send("Network.emulateNetworkConditions", conditions)
