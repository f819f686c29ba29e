"""The files portal in a browser: several files at once, one file's page, uploads over lines that break."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import WIDE, Visit
from tests.browser.line import Line
from tests.fakes import samples
from tests.product import Product

PART = 16 * 2**20
SMALL_TALK = 2 * 2**20
"""Everything else that the pages send, and what a broken connection had taken in but not passed on."""


@pytest.fixture(scope="module")
def own_product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Its own, as the first hour of the shared one must find nobody there."""
    with Product(tmp_path_factory.mktemp("files")) as running:
        yield running


@pytest.fixture(scope="module")
def context(browser: Browser, own_product: Product) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport=WIDE, reduced_motion="reduce")
    assert own_product.setup_url is not None
    page = made.new_page()
    page.goto(own_product.setup_url)
    page.get_by_label("Your name").fill("Grace Hopper")
    page.get_by_label("E-mail").fill("grace@example.com")
    page.get_by_label("Password").fill("seven paper boats drift")
    page.get_by_role("button", name="Make account").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.close()
    yield made
    made.close()


@pytest.fixture
def tab(context: BrowserContext, own_product: Product) -> Iterator[Visit]:
    opened = Visit(context.new_page(), own_product.url)
    yield opened
    opened.page.close()
    assert opened.complaints == []


def choose(page: Page, *paths: Path) -> None:
    page.locator("file-uploader input[type=file]").set_input_files(list(paths))


def bytes_of(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def test_several_files_are_chosen_and_deleted_after_a_question(tab: Visit, tmp_path: Path):
    page = tab.go("/files/")
    paths = [tmp_path / f"several-{number}.txt" for number in range(4)]
    for path in paths:
        path.write_text(f"{path.name}\n")
    choose(page, *paths)
    expect(page.get_by_role("link", name=re.compile(r"^several-\d"))).to_have_count(4)
    expect(page.get_by_role("region", name="What Default keeps")).to_contain_text("56 B")
    delete = page.get_by_role("button", name="Delete", exact=True)
    expect(delete).to_be_disabled()
    page.get_by_role("checkbox", name="Choose several-0.txt").check()
    page.get_by_role("checkbox", name="Choose several-1.txt").check()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    with page.expect_response(re.compile(r"/files/\?")):
        page.evaluate("document.body.dispatchEvent(new CustomEvent('uploaded'))")
    tab.settle()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    tab.check_looks("files-chosen")
    delete.click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete 2 files")
    tab.check_looks("files-question")
    page.get_by_role("button", name="Delete 2 files").click()
    expect(page.get_by_text("2 files deleted.")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile(r"^several-\d"))).to_have_count(2)


def test_all_on_the_page_are_chosen_and_failures_are_told_one_by_one(tab: Visit):
    page = tab.go("/files/?q=several")
    page.get_by_label("All on this page").check()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    page.get_by_role("button", name="Change end").click()
    page.get_by_label("They end").select_option("In 7 days")
    page.get_by_role("button", name="Change 2 files").click()
    expect(page.get_by_text("2 files changed.")).to_be_visible()
    assert page.url.endswith("/files/?q=several")
    expect(page.get_by_text("6 d left")).to_have_count(2)
    page.get_by_label("All on this page").check()
    page.get_by_role("button", name="Send again").click()
    page.get_by_role("button", name="Send again 2 files").click()
    expect(page.get_by_text("0 sent again, 2 not.")).to_be_visible()
    tab.check_looks("files-results")


def test_the_same_works_without_scripts(browser: Browser, context: BrowserContext, own_product: Product):
    plain = browser.new_context(java_script_enabled=False, storage_state=context.storage_state())
    page = plain.new_page()
    page.goto(f"{own_product.url}/files/?q=several-2")
    page.get_by_role("checkbox", name="Choose several-2.txt").check()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", name="Delete files")).to_be_visible()
    page.get_by_role("button", name="Delete 1 file").click()
    expect(page.get_by_text("No file matches")).to_be_visible()
    plain.close()


def test_pictures_sound_and_texts_are_shown(tab: Visit, tmp_path: Path):
    files = {"dot.png": samples.png(64, 64), "tone.wav": samples.wav(3.0), "paper.pdf": samples.pdf()}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    page = tab.go("/files/")
    choose(page, *(tmp_path / name for name in files))
    page.get_by_role("link", name="dot.png", exact=True).click()
    expect(page.locator(".preview img")).to_have_js_property("naturalWidth", 64)
    page.get_by_label("Ends", exact=True).select_option("In a year")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_text("changed when it ends")).to_be_visible()
    tab.check_looks("file-page")
    tab.go("/files/")
    with page.expect_response(lambda answer: answer.url.endswith("/content")) as heard:
        page.get_by_role("link", name="tone.wav", exact=True).click()
    assert heard.value.status == 206
    sound = page.locator("audio")
    expect(sound).to_have_js_property("readyState", 4)
    sound.evaluate("sound => { sound.currentTime = 2.5; }")
    expect(sound).to_have_js_property("seeking", False)
    assert sound.evaluate("sound => sound.currentTime") == 2.5
    tab.go("/files/").get_by_role("link", name="paper.pdf", exact=True).click()
    address = page.get_by_role("link", name="Open the PDF").get_attribute("href")
    answer = page.request.get(f"{tab.url}{address}")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.body().startswith(b"%PDF")


def test_a_broken_connection_costs_at_most_one_part(
    browser: Browser, context: BrowserContext, own_product: Product, tmp_path: Path
):
    film = bytes_of(tmp_path / "broken line.bin", 3 * PART + 1000)
    with Line(own_product.url) as line:
        visit = over(line, browser, context)
        visit.wait_for_load_state("networkidle")
        line.sent, line.cut_at = 0, PART + PART // 2
        choose(visit, film)
        expect(visit.get_by_role("link", name=film.name, exact=True)).to_be_visible(timeout=60_000)
        assert line.cuts == 1
        assert line.sent <= film.stat().st_size + PART + SMALL_TALK
        visit.context.close()


def test_a_reload_costs_at_most_one_part(
    browser: Browser, context: BrowserContext, own_product: Product, tmp_path: Path
):
    film = bytes_of(tmp_path / "reloaded.bin", 3 * PART + 1000)
    with Line(own_product.url) as line:
        page = over(line, browser, context)
        page.wait_for_load_state("networkidle")
        line.sent, line.hold_at = 0, 2 * PART + PART // 2
        choose(page, film)
        assert line.is_held.wait(30)
        page.once("dialog", lambda dialog: dialog.accept())
        line.release()
        page.reload()
        card = page.locator(".upload").filter(has_text=film.name)
        expect(card).to_contain_text("Interrupted at")
        page.wait_for_load_state("networkidle")
        choose(page, film)
        expect(page.get_by_role("link", name=film.name, exact=True)).to_be_visible(timeout=60_000)
        assert line.sent <= film.stat().st_size + PART + SMALL_TALK
        page.context.close()


def test_a_pause_keeps_what_has_arrived(
    browser: Browser, context: BrowserContext, own_product: Product, tmp_path: Path
):
    film = bytes_of(tmp_path / "paused.bin", 2 * PART + 1000)
    with Line(own_product.url) as line:
        page = over(line, browser, context)
        page.wait_for_load_state("networkidle")
        line.sent, line.hold_at = 0, PART // 2
        choose(page, film)
        assert line.is_held.wait(30)
        page.get_by_role("button", name="Pause").click()
        line.release()
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("link", name=film.name, exact=True)).to_be_visible(timeout=60_000)
        assert line.sent <= film.stat().st_size + PART + SMALL_TALK
        page.context.close()


def test_two_tabs_send_the_same_file_without_harm(
    browser: Browser, context: BrowserContext, own_product: Product, tmp_path: Path
):
    film = bytes_of(tmp_path / "twice.bin", 3 * PART + 1000)
    with Line(own_product.url) as line:
        page = over(line, browser, context)
        line.sent, line.hold_at = 0, PART // 2
        choose(page, film)
        assert line.is_held.wait(30)
        other = page.context.new_page()
        other.goto(f"{own_product.url}/files/")
        choose(other, film)
        line.release()
        for each in (page, other):
            expect(each.locator(".upload")).to_have_count(0, timeout=60_000)
            expect(each.get_by_role("link", name=film.name, exact=True).first).to_be_visible()
        address = other.get_by_role("link", name=film.name, exact=True).first.get_attribute("href")
        file_id = str(address).strip("/").rpartition("/")[2]
        content = other.request.get(f"{own_product.url}/v1/files/{file_id}/content")
        assert content.body() == film.read_bytes()
        page.context.close()


def over(line: Line, browser: Browser, context: BrowserContext) -> Page:
    """The files page through the line, signed in as before: cookies know no ports."""
    page = browser.new_context(storage_state=context.storage_state()).new_page()
    page.goto(f"{line.url}/files/")
    return page


def test_a_team_among_many_is_found_in_the_switcher(tab: Visit, own_product: Product):
    own_product.manage(
        "shell", "-v", "0", "-c",
        "from portal.models import Team;"
        "Team.objects.bulk_create(Team(team_id=f't{n:03}', name=f'Team {n:03}') for n in range(60))",
    )  # fmt: skip
    page = tab.go("/teams/default/")
    tab.check_looks("team-rules")
    page.get_by_role("group").locator("summary", has_text="Default").click()
    page.get_by_role("searchbox", name="Search teams").fill("047")
    expect(page.get_by_role("button", name="Team 047")).to_be_visible()
    expect(page.get_by_role("button", name="Team 001")).to_have_count(0)
    tab.shoot("switcher")
    assert tab.violations() == []
    page.get_by_role("button", name="Team 047").click()
    expect(page.locator("summary", has_text="Team 047")).to_be_visible()
    tab.go("/switch-team/?q=04")
    tab.check_looks("switcher-page")
