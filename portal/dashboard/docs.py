"""User documentation: templates/docs/*.md as pages, with this instance's own address in the examples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from portal.dashboard import snippets

FOLDER: Path = settings.BASE_DIR / "templates" / "docs"
PAGES: dict[str, str] = {
    "index": "Start here",
    "quickstart": "Quick start",
    "files": "Files",
    "endpoints": "Endpoints",
    "keys": "Keys, teams and money",
    "models-and-config": "Models and config.yaml",
    "routing": "Routing and retries",
    "requests": "Requests and the playground",
    "providers": "Providers and features",
    "python": "Python functions",
    "alerts": "Alerts and e-mail",
    "settings": "Settings",
    "deployment": "Deployment",
}

TABLE_BOX = {"class": "table", "tabindex": "0", "role": "region", "aria-label": "Table"}


@dataclass(frozen=True, slots=True)
class Document:
    html: SafeString
    headings: list[tuple[str, str]]
    """Anchor and text of every second-level heading."""


@require_safe
def show(request: HttpRequest, name: str = "index") -> HttpResponse:
    if name not in PAGES:
        raise Http404("There is no such page in the documentation.")
    context = {
        "document": _document(name, snippets.base_url(request)),
        "pages": PAGES.items(),
        "current": name,
        "title": PAGES[name],
    }
    return render(request, "dashboard/docs.html", context)


@lru_cache(maxsize=64)
def _document(name: str, base_url: str) -> Document:
    """Raw HTML in the sources is shown as text, never passed on."""
    markdown = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable("table")
    source = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    here = base_url.removesuffix("/v1")
    tokens = markdown.parse(re.sub(r"http://127\.0\.0\.1:4000(?=/v1|/gemini)", lambda _: here, source))
    headings = _anchor_headings(tokens)
    _wrap_tables(tokens)
    html = markdown.renderer.render(tokens, markdown.options, {})
    return Document(mark_safe(html), headings)  # noqa: S308 - rendered by us, raw HTML is off


def _anchor_headings(tokens: list[Token]) -> list[tuple[str, str]]:
    found = []
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag in ("h2", "h3"):
            anchor = slugify(content.content)
            opening.attrSet("id", anchor)
            if opening.tag == "h2":
                found.append((anchor, content.content.replace("`", "")))
    return found


def _wrap_tables(tokens: list[Token]) -> None:
    """Wide tables scroll in a box of their own, and the keyboard can reach it."""
    for place in reversed(range(len(tokens))):
        if tokens[place].type == "table_open":
            tokens.insert(place, Token("table_box_open", "div", 1, attrs=dict(TABLE_BOX)))
        elif tokens[place].type == "table_close":
            tokens.insert(place + 1, Token("table_box_close", "div", -1))
        elif tokens[place].type == "fence":
            tokens[place].attrSet("tabindex", "0")
