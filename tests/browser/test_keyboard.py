"""The five jobs that people come for: with the keyboard alone, and in few clicks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.browser.hands import Hands, clicks, count_clicks
from tests.fakes import samples
from tests.product import Product

GEMINI = "gemini-3.5-flash"
FAILED = "503 upstream_unavailable"


@pytest.fixture
def page(visit: Visit, seeded: Product) -> Page:
    return settled(visit.go("/"))


@pytest.fixture
def hands(page: Page) -> Hands:
    return Hands(page)


@pytest.fixture
def counted(visit: Visit, seeded: Product) -> Page:
    count_clicks(visit.page)
    return settled(visit.go("/"))


def settled(page: Page) -> Page:
    page.wait_for_load_state("networkidle")
    return page


def menu(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True)


def opened(page: Page, title: str) -> Page:
    """The next page is there, its scripts too."""
    expect(page.get_by_role("heading", level=1, name=title)).to_be_visible()
    return settled(page)


def film(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(samples.mp4())
    return path


def test_a_model_is_added_and_tested_with_the_keyboard(page: Page, hands: Hands):
    hands.enter(menu(page, "Models"))
    hands.enter(page.get_by_role("link", name="Add model").first)
    expect(page.get_by_text("offered while you type")).to_be_visible()
    hands.pick(page.get_by_label("Account", exact=True), "Google")
    hands.write(page.get_by_label("Provider model"), GEMINI)
    hands.write(page.get_by_label("Name for clients"), "by keyboard")
    settled(page)
    hands.enter(page.get_by_role("button", name="Test"))
    expect(page.get_by_text("Takes a file and answers about it")).to_be_visible()
    hands.stay()
    hands.enter(page.get_by_role("button", name="Save model"))
    expect(page.get_by_role("heading", name="by keyboard")).to_be_visible()


def test_a_key_with_budget_and_models_is_made_with_the_keyboard(visit: Visit, page: Page, hands: Hands):
    hands.enter(menu(page, "Keys"))
    opened(page, "Keys")
    opener = page.get_by_role("link", name="New key")
    hands.enter(opener)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name", exact=True)).to_be_focused()
    hands.stay_inside(dialog)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("key by keyboard")
    hands.to(dialog.get_by_role("checkbox", name=re.compile(f"^{GEMINI}")))
    page.keyboard.press("Space")
    hands.enter(dialog.locator("summary", has_text="Budget"))
    hands.write(dialog.get_by_label("Budget in dollars"), "-5")
    hands.enter(dialog.get_by_role("button", name="Make key"))
    expect(dialog.get_by_label("Budget in dollars")).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_label("Budget in dollars")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Copy").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog.get_by_text("Copied").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    row = page.get_by_role("row").filter(has_text="key by keyboard")
    visit.complaints.clear()  # Chromium reports every 422 as an error of the page.
    expect(row).to_contain_text("$0.00 of $5.00")
    expect(row).to_contain_text(GEMINI)


def test_a_film_is_uploaded_and_asked_about_with_the_keyboard(page: Page, hands: Hands, tmp_path: Path):
    # Playwright sees a chooser only from a while after it was first asked to.
    page.on("filechooser", lambda chooser: None)
    hands.enter(menu(page, "Files"))
    opened(page, "Files")
    hands.to(page.get_by_role("button", name="Choose files"))
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(film(tmp_path, "keyboard.mp4"))
    row = page.get_by_role("row").filter(has_text="keyboard.mp4")
    expect(row.locator(".chip.ok", has_text="Google AI Studio")).to_be_visible()
    hands.stay()
    hands.enter(page.get_by_role("link", name="Use keyboard.mp4"))
    expect(page.get_by_label("Message")).to_be_focused()
    expect(page.get_by_role("checkbox", name="keyboard.mp4")).to_be_checked()
    page.keyboard.type("What is to be seen?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article", name="Model")).to_contain_text("video/mp4")
    expect(page.get_by_label("Message")).to_be_focused()


def test_why_a_call_failed_is_found_with_the_keyboard(page: Page, hands: Hands):
    hands.enter(menu(page, "Requests"))
    opened(page, "Requests")
    hands.pick(page.get_by_label("Outcome"), "Failed")
    expect(page.get_by_role("cell", name="200")).to_have_count(0)
    hands.stay()
    opener = page.get_by_role("row").filter(has_text=FAILED).first.locator("[data-row]")
    hands.enter(opener)
    drawer = page.get_by_role("dialog")
    expect(drawer).to_contain_text("What to do")
    hands.stay_inside(drawer, steps=12)
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(opener).to_be_focused()


def test_spend_by_team_is_found_with_the_keyboard(page: Page, hands: Hands):
    hands.enter(menu(page, "Usage"))
    expect(page.get_by_role("columnheader", name="Team")).to_be_visible()
    hands.enter(page.get_by_role("link", name="Support bot"))
    expect(page.get_by_role("link", name="Team: Support bot")).to_be_visible()


def test_the_skip_link_and_the_menus_work_with_the_keyboard(page: Page, hands: Hands):
    hands.enter(page.get_by_role("link", name="Skip to content"))
    expect(page.locator("#content")).to_be_focused()
    team = page.locator("summary", has_text="Default")
    hands.to(team, key="Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Research")).to_be_visible()
    hands.to(page.get_by_role("button", name="Research"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Research")).to_be_hidden()
    expect(team).to_be_focused()


def test_a_question_before_deleting_starts_at_no_and_gives_the_focus_back(page: Page, hands: Hands):
    hands.enter(menu(page, "Keys"))
    opened(page, "Keys")
    bin_ = page.get_by_role("button", name="Delete key by keyboard")
    bin_.focus()
    page.keyboard.press("Enter")
    question = page.get_by_role("dialog")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    hands.stay_inside(question, steps=5)
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(bin_).to_be_focused()


def test_four_clicks_add_a_tested_model(counted: Page):
    page = counted
    menu(page, "Models").click()
    page.get_by_role("link", name="Add model").first.click()
    expect(page.get_by_text("offered while you type")).to_be_visible()
    page.get_by_label("Account", exact=True).select_option(label="Google AI Studio")
    page.get_by_label("Provider model").fill(GEMINI)
    page.get_by_label("Name for clients").fill("by mouse")
    settled(page)
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_text("Takes a file and answers about it")).to_be_visible()
    page.get_by_role("button", name="Save model").click()
    expect(page.get_by_role("heading", name="by mouse")).to_be_visible()
    assert clicks(page) <= 4


def test_five_clicks_make_a_key_with_budget_and_models(counted: Page):
    page = counted
    menu(page, "Keys").click()
    opened(page, "Keys")
    page.get_by_role("link", name="New key").click()
    page.get_by_label("Name", exact=True).fill("key by mouse")
    page.get_by_role("checkbox", name=re.compile(f"^{GEMINI}")).click()
    page.locator("dialog summary", has_text="Budget").click()
    page.get_by_label("Budget in dollars").fill("5")
    page.get_by_role("button", name="Make key").click()
    # Copy is where the focus is: Enter is enough.
    expect(page.get_by_role("button", name="Copy").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Copied").first).to_be_visible()
    assert clicks(page) <= 5


def test_three_clicks_upload_a_film_and_ask_about_it(counted: Page, tmp_path: Path):
    page = counted
    menu(page, "Files").click()
    opened(page, "Files")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").click()
    chooser.value.set_files(film(tmp_path, "mouse.mp4"))
    row = page.get_by_role("row").filter(has_text="mouse.mp4")
    expect(row.locator(".chip.ok", has_text="Google AI Studio")).to_be_visible()
    page.get_by_role("link", name="Use mouse.mp4").click()
    expect(page.get_by_label("Message")).to_be_focused()
    page.keyboard.type("What is to be seen?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article", name="Model")).to_contain_text("video/mp4")
    assert clicks(page) <= 3


def test_three_clicks_tell_why_a_call_failed_and_one_what_teams_spent(counted: Page):
    page = counted
    menu(page, "Requests").click()
    opened(page, "Requests")
    page.get_by_label("Outcome").select_option("failed")
    page.get_by_role("row").filter(has_text=FAILED).first.get_by_role("link").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("What to do")
    # Choosing in the list of outcomes is a click too.
    assert clicks(page) + 1 <= 3
    page.keyboard.press("Escape")
    before = clicks(page)
    menu(page, "Usage").click()
    expect(page.get_by_role("cell", name="Support bot")).to_be_visible()
    assert clicks(page) - before <= 1
