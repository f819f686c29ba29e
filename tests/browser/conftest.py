"""A real browser in front of the product as a user starts it, with the fakes as its providers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.fakes.server import FakeServers
from tests.product import Product
from tests.requirements import axe, chromium

SCREENSHOTS = Path(__file__).parent / "screenshots"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE: ViewportSize = {"width": 1440, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
COLOURS = "color-contrast"
QUICK = {"resultTypes": ["violations"], "selectors": False, "iframes": False, "preload": False}
"""What axe need not tell or wait for."""
PATIENCE_MS = 15_000
expect.set_options(timeout=PATIENCE_MS)
PAGE_BYTES, PAGE_REQUESTS = 110_000, 10
"""What a page may cost a browser that has seen nothing of us."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs those that share one product and one owner, another those with houses of their own."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            is_shared = "product" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("browser" if is_shared else "houses"))


@pytest.fixture(scope="package")
def fakes() -> Iterator[FakeServers]:
    with FakeServers(process=True) as servers:
        yield servers


@pytest.fixture(scope="package")
def product(fakes: FakeServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("browser")) as running:
        yield running


# Of the package, not the session: while Playwright runs, an event loop runs in this thread, and Django
# refuses to touch the database beside one. It must be gone before other tests follow in the same process.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        problem = "Chromium is not installed, so nobody walked the pages"
        pytest.fail(problem) if os.environ.get("CI") == "true" else pytest.skip(problem)
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield launched
        launched.close()


@dataclass
class Visit:
    """A page with everything that it complained of."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("console", self._listen)

    def _listen(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def go(self, path: str) -> Page:
        self.page.goto(f"{self.url}{path}")
        return self.page

    def settle(self) -> None:
        """Waits for what the page fetches after it has been read."""
        # Not a function to wait for: the page's content policy would forbid to try it again.
        expect(self.page.locator(".htmx-request")).to_have_count(0)

    def shoot(self, name: str) -> None:
        """Takes a picture when the environment has TEST_SCREENSHOTS: it costs as much as reading the page."""
        if "TEST_SCREENSHOTS" not in os.environ:
            return
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.body.offsetWidth"))

    def check_looks(self, name: str) -> None:
        """Wide and narrow, light and dark, it fits and is accessible. What cannot differ is asked once."""
        for size_name, size in {"wide": WIDE, "narrow": NARROW}.items():
            self.page.set_viewport_size(size)
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                self.shoot(f"{name}-{size_name}-{scheme}")
                if scheme == "dark":
                    found = self.violations([COLOURS])
                else:
                    found = self.violations(without=[COLOURS] if size is NARROW else [])
                assert (self.overflow() <= 0, found) == (True, []), f"{name}, {size_name} and {scheme}"
        self.page.set_viewport_size(WIDE)

    def violations(self, rules: Sequence[str] = RULES, without: Sequence[str] = ()) -> list[str]:
        """What axe finds against WCAG 2.2 AA; nothing where axe is not installed. `rules` or their tags."""
        source = axe()
        if source is None:
            return []
        if not self.page.evaluate("'axe' in window"):
            # Evaluated by the driver, which the page's content policy does not concern.
            self.page.evaluate(source.read_text())
        switched_off = {rule: {"enabled": False} for rule in without}
        found = self.page.evaluate(
            "options => axe.run(options)", {**QUICK, "runOnly": list(rules), "rules": switched_off}
        )
        assert found["passes"], "axe looked at nothing"
        return [
            f"{rule['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]


def weigh(page: Page, address: str) -> dict[str, int]:
    """Opens the page and gives, by address, the bytes of every answer as they went over the line."""
    weights: dict[str, int] = {}

    def add(request: Request) -> None:
        sizes = request.sizes()
        weights[request.url] = sizes["responseBodySize"] + sizes["responseHeadersSize"]

    page.on("requestfinished", add)
    page.goto(address)
    page.wait_for_load_state("networkidle")
    return weights


@pytest.fixture(scope="package")
def owner_context(browser: Browser, product: Product) -> Iterator[BrowserContext]:
    """The owner's browser; the set-up link is claimed in it first."""
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=product.url)
    yield context
    context.close()


@pytest.fixture(scope="package")
def seeded(owner_context: BrowserContext, product: Product) -> Product:
    """The product with a month of calls in it; the owner is there already."""
    product.manage("shell", "-v", "0", "-c", "from tests.browser.seeding import seed; seed()")
    return product


@pytest.fixture
def visit(owner_context: BrowserContext, product: Product) -> Iterator[Visit]:
    """A fresh tab of the owner's browser."""
    opened = Visit(owner_context.new_page(), product.url)
    yield opened
    opened.page.close()
    assert opened.complaints == []
