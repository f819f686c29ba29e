"""A large, hostile house: everybody follows every link they see, at every width, and without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests import large
from tests.browser.conftest import (
    NARROW,
    PAGE_BYTES,
    PAGE_REQUESTS,
    PATIENCE_MS,
    WIDE,
    Visit,
    weigh,
)
from tests.browser.house import ROLES, House, crowded
from tests.browser.walker import PACKAGED, REPORT, WIDTHS, Read, Walk, Walker, route_of

LEAST = {
    "owner": 90,
    "admin": 80,
    "auditor": 60,
    "team admin": 40,
    "member": 40,
    "viewer": 30,
    "nobody": 5,
}
"""So many pages they find at least."""
ALMOST_ALL = 0.85
"""Without scripts a page has fewer words: buttons that only scripts can serve are not there."""
NEED_SCRIPTS = ("/account/passkeys/add/",)
LONG_LISTS = (
    "/",
    "/files/",
    "/playground/",
    "/keys/",
    "/keys/new/",
    "/models/",
    "/requests/",
    "/usage/?by=model",
    "/teams/",
    "/people/",
    "/audit/",
    "/jobs/",
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with crowded(tmp_path_factory.mktemp("crowd")) as served:
        yield served


@pytest.fixture(scope="module")
def walk_of(browser: Browser, house: House) -> Callable[[str], Walk]:
    """The walk of a role, gone once."""

    @cache
    def walk(role: str) -> Walk:
        context = signed_in(browser, house, role)
        is_owner = role == "owner"
        done = Walker(context, house.url, measures=is_owner, reads_all=is_owner).go_everywhere()
        context.close()
        return done

    return walk


@pytest.fixture
def tab(browser: Browser, house: House) -> Iterator[Visit]:
    """The owner's."""
    context = signed_in(browser, house, "owner")
    context.add_init_script(REPORT)
    opened = Visit(context.new_page(), house.url)
    yield opened
    assert opened.page.evaluate("window.ran") == []
    context.close()
    assert opened.complaints == []


def signed_in(browser: Browser, house: House, role: str, **options: Any) -> BrowserContext:
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce", **options)
    context.add_cookies(house.cookie(role))  # type: ignore[arg-type]  # a plain dict is all it needs
    return context


@pytest.mark.parametrize("role", ROLES)
def test_no_page_offers_what_is_refused(role: str, walk_of: Callable[[str], Walk]):
    walk = walk_of(role)
    assert walk.refused == ({"/": 403} if role == "nobody" else {})
    assert len(walk.visited) >= LEAST[role], sorted(walk.visited)


@pytest.mark.parametrize("role", ROLES)
def test_pages_complain_of_nothing_run_nothing_and_have_one_heading(
    role: str, walk_of: Callable[[str], Walk]
):
    walk = walk_of(role)
    # Chromium reports the 403 of somebody without a team, and pictures of files that are rows without bytes.
    expected = "CONTENT_LENGTH_MISMATCH" if role != "nobody" else "403 (Forbidden)"
    assert [text for text in walk.complaints if expected not in text] == []
    assert [path for path, page in walk.visited.items() if page.ran] == []
    ours = {p: page for p, page in walk.visited.items() if page.is_page and not p.startswith(PACKAGED)}
    assert {p: page for p, page in ours.items() if page.headings != 1 or " · " not in page.title} == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits(width: str, walk_of: Callable[[str], Walk]):
    measured = {path: page.widths[width] for path, page in walk_of("owner").visited.items() if page.widths}
    assert len(measured) > LEAST["owner"] / 2
    assert {path: found for path, found in measured.items() if found["over"] > 0 or found["cut"]} == {}


def test_every_page_can_be_read_without_scripts(
    browser: Browser, house: House, walk_of: Callable[[str], Walk]
):
    context = signed_in(browser, house, "owner", java_script_enabled=False)
    page = context.new_page()
    less = {}
    for path, read in one_of_each_route(walk_of("owner").visited).items():
        page.goto(f"{house.url}{path}")
        words = len(re.sub(r"\s+", " ", page.locator("main").inner_text()))
        rows = page.locator("main").locator("tr, li, dt").count()
        if rows < read.rows or words < read.words * ALMOST_ALL:
            less[path] = f"{rows} of {read.rows} rows, {words} of {read.words} letters"
    context.close()
    assert less == {}


def one_of_each_route(visited: dict[str, Read]) -> dict[str, Read]:
    firsts: dict[str, str] = {}
    for path, page in visited.items():
        if page.is_page and not path.startswith((*PACKAGED, *NEED_SCRIPTS)):
            firsts.setdefault(path if path.startswith("/docs/") else route_of(path)[0], path)
    return {path: visited[path] for path in firsts.values()}


def test_long_lists_are_light(browser: Browser, house: House):
    heavy = {}
    for path in LONG_LISTS:
        context = signed_in(browser, house, "owner")
        sizes = weigh(context.new_page(), f"{house.url}{path}")
        context.close()
        if len(sizes) > PAGE_REQUESTS or sum(sizes.values()) > PAGE_BYTES:
            heavy[path] = sizes
    assert heavy == {}


def fits(tab: Visit) -> None:
    for size in (NARROW, WIDE):
        tab.page.set_viewport_size(size)
        assert tab.overflow() <= 0
        assert (
            tab.page.evaluate("document.querySelectorAll('dialog[open] [src=x], main [src=x]').length") == 0
        )


def test_hostile_names_are_found_in_the_palette_as_they_were_written(tab: Visit):
    page = tab.go("/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+k")
    for words, found in (("<script>", large.HOSTILE[0]), ("onerror", large.HOSTILE[1]), ("very-", "very-")):
        page.get_by_role("searchbox", name=re.compile("Search pages")).fill(words)
        expect(page.get_by_role("dialog").get_by_role("link", name=found).first).to_be_visible()
        fits(tab)
        tab.shoot(f"crowd-palette-{len(words)}")


def test_hostile_names_are_chosen_in_the_playground(tab: Visit):
    page = tab.go("/playground/")
    page.wait_for_load_state("networkidle")
    page.get_by_label("Model", exact=True).select_option(f"model {large.HOSTILE[1]}")
    page.get_by_label("Find a file").fill("onerror")
    found = page.get_by_role("checkbox", name=re.compile("onerror")).first
    found.check()
    page.get_by_label("Find a file").fill("very-")
    expect(page.get_by_role("checkbox", name=re.compile("very-very")).first).to_be_visible()
    expect(page.get_by_role("checkbox", name=re.compile("onerror")).first).to_be_checked()
    tab.shoot("crowd-playground")
    fits(tab)


def test_hostile_names_stand_in_questions_and_dialogs_as_they_were_written(tab: Visit):
    page = tab.go(f"/keys/?q={large.HOSTILE[1][2:8]}")
    page.get_by_role("button", name=f"Delete {large.HOSTILE[1]}", exact=True).first.click()
    expect(page.get_by_role("dialog")).to_contain_text(large.HOSTILE[1])
    fits(tab)
    page.keyboard.press("Escape")
    page.wait_for_load_state("networkidle")
    page.get_by_role("link", name="New key").click()
    expect(page.get_by_role("heading", name="New key")).to_be_visible()
    fits(tab)
    tab.shoot("crowd-key-new")
    page.keyboard.press("Escape")
    open_row(page, "/requests/?q=req_hostile", tab)
    expect(page.get_by_role("dialog")).to_contain_text(large.HOSTILE[1])
    fits(tab)
    tab.shoot("crowd-request")


def open_row(page: Page, path: str, tab: Visit) -> None:
    tab.go(path)
    page.wait_for_load_state("networkidle")
    page.locator("[data-row]").first.click(timeout=PATIENCE_MS)
