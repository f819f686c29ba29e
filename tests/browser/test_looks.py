"""How every page looks and behaves: wide and narrow, light and dark, with axe, without scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.conftest import NARROW, PAGE_BYTES, PAGE_REQUESTS, WIDE, Visit, weigh
from tests.product import Product

PAGES = {
    "overview": "/",
    "files": "/files/",
    "file": "file",
    "playground": "/playground/",
    "keys": "/keys/",
    "key-new": "/keys/new/",
    "models": "/models/",
    "model-new": "/models/new/",
    "key": "/keys/1/",
    "requests": "/requests/",
    "requests-failed": "/requests/?range=7d&outcome=failed",
    "request": "/requests/req_seed00000012/",
    "usage": "/usage/",
    "usage-by-key": "/usage/?by=key",
    "teams": "/teams/",
    "team": "/teams/default/",
    "team-new": "/teams/new/",
    "people": "/people/",
    "person": "/people/1/",
    "invite": "/people/new/",
    "audit": "/audit/",
    "jobs": "/jobs/",
    "settings": "/settings/",
    "import": "/settings/import/",
    "search": "/search/?q=bot",
    "shortcuts": "/shortcuts/",
    "providers": "/providers/",
    "provider-new": "/providers/new/",
    "docs": "/docs/",
    "docs-settings": "/docs/settings/",
    "docs-files": "/docs/files/",
    "missing": "/nothing/here/",
}
OPEN_PAGES = {"login": "/login/", "setup-closed": "/setup/no-such-token/", "docs": "/docs/quickstart/"}
SCRIPT_BYTES, STYLE_BYTES = 30 * 1024, 10 * 1024


@pytest.fixture(scope="module")
def file_path(owner_context: BrowserContext, seeded: Product, product: Product) -> str:
    """The page of the file that the first hour left behind."""
    page = owner_context.new_page()
    page.goto(f"{product.url}/files/")
    path = page.locator("a.row-link").first.get_attribute("href")
    page.close()
    assert path is not None
    return path


@pytest.fixture
def look(visit: Visit, file_path: str) -> Iterator[Visit]:
    yield visit
    # Chromium reports a 404 of the page itself as an error of the page.
    visit.complaints[:] = [text for text in visit.complaints if "404" not in text]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_and_is_accessible(name: str, look: Visit, file_path: str):
    look.go(file_path if PAGES[name] == "file" else PAGES[name])
    look.settle()
    assert look.page.locator("h1").count() == 1
    look.check_looks(name)


@pytest.mark.parametrize("name", OPEN_PAGES)
def test_pages_for_strangers_fit_and_are_accessible(name: str, browser: Browser, product: Product):
    context = browser.new_context(viewport=WIDE)
    visit = Visit(context.new_page(), product.url)
    visit.go(OPEN_PAGES[name])
    visit.check_looks(f"stranger-{name}")
    context.close()
    assert [text for text in visit.complaints if "404" not in text] == []


def test_the_menu_opens_on_a_narrow_screen(look: Visit):
    look.page.set_viewport_size(NARROW)
    page = look.go("/")
    expect(page.get_by_role("link", name="Files", exact=True)).to_be_hidden()
    page.get_by_role("link", name="Menu").click()
    expect(page.get_by_role("link", name="Files", exact=True)).to_be_visible()
    look.shoot("menu-narrow")
    assert look.violations() == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Files", exact=True)).to_be_hidden()


def test_the_new_key_dialog_is_accessible_and_gives_focus_back(look: Visit):
    page = look.go("/keys/")
    page.wait_for_load_state("networkidle")
    page.get_by_role("link", name="New key").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert look.violations() == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("link", name="New key")).to_be_focused()


def test_the_theme_can_be_chosen_and_stays_chosen(look: Visit):
    page = look.go("/")
    switch = page.locator("[data-theme-switch]")
    switch.click()
    switch.click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.locator("[data-theme-switch]").click()
    assert page.evaluate("document.documentElement.dataset.theme ?? 'system'") == "system"


def test_deleting_asks_first(look: Visit):
    page = look.go("/keys/")
    page.get_by_role("button", name="Delete first program").click()
    expect(page.get_by_role("dialog")).to_contain_text("refused within a second")
    look.shoot("ask")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("cell", name="first program").first).to_be_visible()


def test_lists_can_be_read_and_filtered_without_scripts(
    browser, owner_context: BrowserContext, product: Product
):
    context = browser.new_context(java_script_enabled=False, storage_state=owner_context.storage_state())
    page = context.new_page()
    page.goto(f"{product.url}/files/?q=quarterly")
    assert page.get_by_role("link", name="quarterly report.pdf", exact=True).is_visible()
    page.goto(f"{product.url}/files/?q=nothing-like-it")
    assert page.get_by_text("No file matches").is_visible()
    context.close()


def test_a_transition_that_is_cut_short_is_no_failure_and_everything_else_is(visit: Visit):
    page = visit.go("/keys/")
    refused = "message => { Promise.reject(new DOMException(message, 'InvalidStateError')) }"
    page.evaluate(refused, "Transition was aborted because of invalid state. Page already revealed")
    page.evaluate(refused, "The object is in an invalid state.")
    page.wait_for_function("true")
    told, visit.complaints[:] = visit.complaints[:], []
    assert told == ["exception: The object is in an invalid state."]


def test_a_cold_page_is_light(browser, owner_context: BrowserContext, product: Product):
    context = browser.new_context(storage_state=owner_context.storage_state())
    sizes = weigh(context.new_page(), f"{product.url}/files/")
    context.close()
    scripts = sum(size for url, size in sizes.items() if url.endswith(".js"))
    styles = sum(size for url, size in sizes.items() if url.endswith(".css"))
    assert len(sizes) <= PAGE_REQUESTS, sorted(sizes)
    assert sum(sizes.values()) <= PAGE_BYTES
    assert scripts <= SCRIPT_BYTES
    assert styles <= STYLE_BYTES
