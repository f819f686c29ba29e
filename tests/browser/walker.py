"""Follows every link that somebody is shown, and keeps what the pages were like."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urldefrag, urlsplit

from playwright.sync_api import BrowserContext, ViewportSize

from tests.browser.conftest import NARROW, WIDE

WIDTHS: dict[str, ViewportSize] = {
    "1440": WIDE,
    "1440 at 200 %": {"width": 720, "height": 450},
    "390": NARROW,
    "320": {"width": 320, "height": 640},
}
ALIKE = 2
"""So many pages of one route with the same fields in their address are visited,"""
MOST = 6
"""and so many of one route in all."""
PACKAGED = ("/admin/", "/docs/api/")
"""Pages that packages bring along, in their own layout."""
DATA = (".yaml", "/csv/", "/content", "/files/states/")
"""Ends of addresses that are no pages."""
ONE_OF_MANY = re.compile(r"(?<=/)(\d+|file-[\w-]+|req_\w+|default|[0-9a-f]{32})(?=/|$)")
REPORT = """
  window.ran = [];
  window.alert = (what) => window.ran.push(String(what));
  document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
"""What is stored in the house calls alert()."""
READ = """() => {
  const main = document.querySelector("main") ?? document.body;
  const isOurs = (url) => url.startsWith(location.origin + "/");
  const parts = document.querySelectorAll("[hx-get]:not(input, select, form)");
  return {
    headings: document.querySelectorAll("h1").length,
    title: document.title,
    words: main.innerText.replace(/\\s+/g, " ").length,
    rows: main.querySelectorAll("tr, li, dt").length,
    ran: window.ran,
    links: [...document.querySelectorAll("a[href]")].filter((a) => isOurs(a.href))
      .map((a) => [a.href, a.hasAttribute("download")]),
    parts: [...parts].map((e) => new URL(e.getAttribute("hx-get"), location.href).href),
  };
}"""
MEASURE = """() => {
  const controls = document.querySelectorAll("button, .button, label, summary, h1, .tabs a, .option");
  const isShown = (e) => e.checkVisibility();
  const isWider = (e) => e.scrollWidth > e.clientWidth + 1;
  const isCut = (e) => /hidden|clip/.test(getComputedStyle(e).overflowX) && isWider(e);
  const isMeant = (e) => e.matches(".hidden-visually") || e.querySelector(".clip")
    || getComputedStyle(e).textOverflow === "ellipsis";
  // Tables may scroll in their box, but not where each row is a card.
  const cards = innerWidth < 640 ? [...document.querySelectorAll(".table:has(> .cards)")] : [];
  return {
    over: document.scrollingElement.scrollWidth - document.body.offsetWidth,
    cut: [...[...controls].filter((e) => isShown(e) && isCut(e) && !isMeant(e)), ...cards.filter(isWider)]
      .map((e) => `${e.className}: ${e.innerText.slice(0, 40)}`),
  };
}"""


@dataclass
class Read:
    """One page as it was read."""

    is_page: bool
    headings: int
    title: str
    words: int
    rows: int
    ran: list[str]
    links: list[tuple[str, bool]] = field(repr=False)
    parts: list[str] = field(repr=False)
    widths: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)


@dataclass
class Walk:
    """What one person met, by path."""

    visited: dict[str, Read] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


def route_of(url: str) -> tuple[str, str]:
    """The path without what names one of many, and the names of the fields in the address."""
    parts = urlsplit(url)
    path = ONE_OF_MANY.sub("…", parts.path)
    for same in ("/docs/", "/admin/"):
        if path.startswith(same) and path != same:
            path = f"{same}…"
    return path, " ".join(sorted(name for name, value in parse_qsl(parts.query) if value))


class Walker:
    """`measures` the pages at every width; `reads_all` pages of the documentation, not just two."""

    def __init__(self, context: BrowserContext, url: str, *, measures: bool, reads_all: bool) -> None:
        self._url, self._measures, self._reads_all = url, measures, reads_all
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
        answer = self._page.goto(url)
        assert answer is not None
        if answer.status >= 400:
            self._walk.refused[self._at] = answer.status
        is_page = answer.headers["content-type"].startswith("text/html")
        read = Read(is_page=is_page, **self._page.evaluate(READ))
        self._walk.visited[self._at] = read
        if is_page and self._measures and not self._at.startswith(PACKAGED):
            for name, size in WIDTHS.items():
                self._page.set_viewport_size(size)
                read.widths[name] = self._page.evaluate(MEASURE)
            self._page.set_viewport_size(WIDE)
        for link, is_download in read.links:
            self._follow(urldefrag(link).url, is_download=is_download)
        for part in read.parts:
            if self._is_new(part, "part"):
                self._ask("GET", part, {"HX-Request": "true"})

    def _follow(self, url: str, *, is_download: bool) -> None:
        if not self._is_new(url):
            return
        path = urlsplit(url).path
        if is_download or path.endswith(DATA):
            # Most files of the house are rows without bytes: the head of an answer tells enough.
            self._ask("HEAD" if path.startswith("/v1/") else "GET", url, {})
        else:
            self._waiting.append(url)

    def _is_new(self, url: str, kind: str = "") -> bool:
        """Is it worth asking for? Of pages that are alike a few are enough."""
        if f"{kind}{url}" in self._known:
            return False
        route, fields = route_of(url)
        is_read = self._reads_all and route.startswith("/docs/") and not kind
        if not is_read and (
            self._alike[kind + route, fields] >= ALIKE or self._of_route[kind + route] >= MOST
        ):
            return False
        self._known.add(f"{kind}{url}")
        self._alike[kind + route, fields] += 1
        self._of_route[kind + route] += 1
        return True

    def _ask(self, method: str, url: str, headers: dict[str, str]) -> None:
        answer = self._page.context.request.fetch(url, method=method, headers=headers)
        if answer.status >= 400:
            self._walk.refused[f"{url.removeprefix(self._url)} on {self._at}"] = answer.status
