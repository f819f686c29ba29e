"""Follows every link that somebody is shown, and keeps what the pages were like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from playwright.sync_api import APIResponse, BrowserContext, ViewportSize

from tests.browser.conftest import NARROW, WIDE
from tests.offers import DATA, PACKAGED, Offers, route_of

WIDTHS: dict[str, ViewportSize] = {
    "1440": WIDE,
    "1440 at 200 %": {"width": 720, "height": 450},
    "390": NARROW,
    "320": {"width": 320, "height": 640},
}
ALIKE = 2
"""So many pages of one route with the same fields in their address the first visitor asks for,"""
MOST = 6
"""and so many of one route in all."""
CONTENTS, PREVIEWS = "/content", "/preview/"
REPORT = """
  window.ran = [];
  window.alert = (what) => window.ran.push(String(what));
  document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
"""What is stored in the house calls alert()."""
READ = """() => {
  const main = document.querySelector("main") ?? document.body;
  return {
    headings: document.querySelectorAll("h1").length,
    title: document.title,
    words: main.innerText.replace(/\\s+/g, " ").length,
    rows: main.querySelectorAll("tr, li, dt").length,
    ran: window.ran,
  };
}"""
MEASURE = """() => {
  const controls = document.querySelectorAll("button, .button, label, summary, h1, .tabs a, .option");
  const isShown = (e) => e.checkVisibility();
  const isWider = (e) => e.scrollWidth > e.clientWidth + 1;
  const isCut = (e) => isWider(e) && /hidden|clip/.test(getComputedStyle(e).overflowX);
  const isMeant = (e) => e.matches(".hidden-visually") || e.querySelector(".clip")
    || getComputedStyle(e).textOverflow === "ellipsis";
  // Tables may scroll in their box, but not where each row is a card.
  const cards = innerWidth < 640 ? [...document.querySelectorAll(".table:has(> .cards)")] : [];
  return {
    over: document.scrollingElement.scrollWidth - document.body.offsetWidth,
    cut: [...[...controls].filter((e) => isCut(e) && isShown(e) && !isMeant(e)), ...cards.filter(isWider)]
      .map((e) => `${e.className}: ${e.innerText.slice(0, 40)}`),
  };
}"""
Shape = tuple[str, frozenset[tuple[str, str]]]
"""A route, and the kinds of elements that one of its pages is made of."""


@dataclass
class Read:
    """One page as it was read."""

    is_page: bool
    headings: int
    title: str
    words: int
    rows: int
    ran: list[str]
    widths: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)


@dataclass
class Walk:
    """What one person met, by path: `visited` are the pages that were opened."""

    asked: set[str] = field(default_factory=set)
    visited: dict[str, Read] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


class Walker:
    """Asks for pages, and opens in the browser those that are not made like one that was opened before.

    The first visitor asks for everything, all pages of the documentation as well, and opens what stands for
    something of its own in any case; those who follow ask for one page of each route. `shapes` are those that
    were opened; what is opened is measured at every one of `widths`.
    """

    def __init__(
        self,
        context: BrowserContext,
        url: str,
        *,
        shapes: set[Shape],
        is_first: bool,
        widths: Mapping[str, ViewportSize] = WIDTHS,
    ) -> None:
        self._url, self._shapes, self._is_first, self._widths = url, shapes, is_first, widths
        self._walk = Walk()
        self._at = ""
        self._waiting = [f"{url}/"]
        self._known = set(self._waiting)
        self._alike: Counter[tuple[str, str]] = Counter()
        self._of_route: Counter[str] = Counter()
        context.add_init_script(REPORT)
        self._page = context.new_page()
        self._page.on("pageerror", lambda error: self._complain("error", f"exception: {error}"))
        self._page.on("console", lambda message: self._complain(message.type, message.text))

    def go_everywhere(self) -> Walk:
        while self._waiting:
            self._visit(self._waiting.pop(0))
        return self._walk

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self._walk.complaints.append(f"{self._at}: {text}")

    def _visit(self, url: str) -> None:
        self._at = url.removeprefix(self._url)
        self._walk.asked.add(self._at)
        if self._is_first and not urlsplit(url).query:
            offers = self._open(url)
            self._is_new_shape(offers)
        else:
            answer = self._ask("GET", url, {}, self._at)
            offers = Offers(answer.text(), self._at)
            if self._is_new_shape(offers):
                self._open(url)
        for link, is_download in offers.links:
            self._follow(urldefrag(urljoin(url, link)).url, is_download=is_download)
        for part in offers.parts if self._is_first else ():
            if self._is_new(urljoin(url, part), "part"):
                self._ask("GET", urljoin(url, part), {"HX-Request": "true"}, f"{part} on {self._at}")

    def _is_new_shape(self, offers: Offers) -> bool:
        shape = (route_of(self._at)[0], frozenset(offers.shape))
        is_new = shape not in self._shapes
        self._shapes.add(shape)
        return is_new

    def _open(self, url: str) -> Offers:
        """In the browser, where its scripts run and its widths can be measured."""
        answer = self._page.goto(url)
        assert answer is not None
        self._note(answer.status, self._at)
        is_page = answer.headers["content-type"].startswith("text/html")
        read = Read(is_page=is_page, **self._page.evaluate(READ))
        self._walk.visited[self._at] = read
        if is_page and not self._at.startswith(PACKAGED):
            for name, size in self._widths.items():
                if self._page.viewport_size != size:
                    self._page.set_viewport_size(size)
                read.widths[name] = self._page.evaluate(MEASURE)
            self._page.set_viewport_size(WIDE)
        return Offers(answer.text() if is_page else "", self._at)

    def _follow(self, url: str, *, is_download: bool) -> None:
        if not url.startswith(f"{self._url}/") or not self._is_new(url):
            return
        path, query = urlsplit(url)[2:4]
        if query and not self._is_first:
            return
        if is_download or path.endswith(DATA) or (path.endswith(PREVIEWS) and not self._is_first):
            # Most files of the house are rows without bytes: the head of an answer tells enough.
            method = "HEAD" if path.endswith((CONTENTS, PREVIEWS)) else "GET"
            self._ask(method, url, {}, f"{path} on {self._at}")
        else:
            self._waiting.append(url)

    def _is_new(self, url: str, kind: str = "") -> bool:
        """Is it worth asking for? Of pages that are alike a few are enough."""
        if f"{kind}{url}" in self._known:
            return False
        route, fields = route_of(url)
        is_read = self._is_first and route.startswith("/docs/") and not kind
        if not is_read and (
            self._alike[kind + route, fields] >= (ALIKE if self._is_first else 1)
            or self._of_route[kind + route] >= MOST
        ):
            return False
        self._known.add(f"{kind}{url}")
        self._alike[kind + route, fields] += 1
        self._of_route[kind + route] += 1
        return True

    def _ask(self, method: str, url: str, headers: dict[str, str], place: str) -> APIResponse:
        """Past the browser, whose connections end when they were idle: that shows when one is used again."""
        answer = self._page.context.request.fetch(url, method=method, headers=headers, max_retries=1)
        self._note(answer.status, place)
        return answer

    def _note(self, status: int, place: str) -> None:
        if status >= 400:
            self._walk.refused[place] = status


def one_of_each_route(visited: Mapping[str, Read], without: tuple[str, ...] = ()) -> dict[str, Read]:
    """The first page of each route, and every one of the documentation."""
    firsts: dict[str, str] = {}
    for path, page in visited.items():
        if page.is_page and not path.startswith((*PACKAGED, *without)):
            firsts.setdefault(path if path.startswith("/docs/") else route_of(path)[0], path)
    return {path: visited[path] for path in firsts.values()}
