"""What a page offers: links, parts that htmx fetches, and what its buttons would send."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlsplit

Pairs = tuple[tuple[str, str], ...]
ONE_OF_MANY = re.compile(r"(?<=/)(\d+|file-[\w-]+|req_\w+|default|team-\w+|[0-9a-f]{32,64})(?=/|$)")
PACKAGED = ("/admin/", "/docs/api/")
"""Pages that packages bring along, in their own layout."""
DATA = (".yaml", "/csv/", "/content", "/files/states/")
"""Ends of addresses that are no pages."""
VOID = frozenset({"input", "br", "img", "link", "meta", "hr", "source", "wbr", "col", "path", "circle"})
SENDING = ("hx-post", "hx-put", "hx-patch", "hx-delete")
FILTERS = frozenset({"input", "select", "form"})


@dataclass(frozen=True)
class Press:
    """One button as a browser would send it; `chosen` is the one box that is ticked among many."""

    method: str
    url: str
    fields: Pairs = field(compare=False)
    button: Pairs = ()
    chosen: Pairs = ()
    is_part: bool = field(default=False, compare=False)

    def at(self, url: str) -> Press:
        """The same button where its address is written in another way."""
        return replace(self, url=url)

    @property
    def sent(self) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        for name, value in (*self.fields, *self.button, *self.chosen):
            values.setdefault(name, []).append(value)
        return values


@dataclass
class _Form:
    """A form while it is read; `action` is None for buttons that stand in none."""

    action: str
    is_sent: bool
    part: tuple[str, str] | None
    fields: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[Pairs, str, tuple[str, str] | None]] = field(default_factory=list)


class Offers(HTMLParser):
    """Reads `text`, the page at `url` or a part of it."""

    def __init__(self, text: str, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.url = url
        self.title = ""
        self.headings = 0
        self.links: list[tuple[str, bool]] = []
        """Addresses, and whether they are for keeping what they lead to."""
        self.parts: list[str] = []
        self.shape: set[tuple[str, str]] = set()
        """The kinds of elements in the page's own part, by name and class."""
        self.custom: set[str] = set()
        self._forms: list[_Form] = []
        self._by_id: dict[str, _Form] = {}
        self._form: _Form | None = None
        self._loose = _Form("", is_sent=False, part=None)
        self._select: tuple[_Form, str, list[tuple[str, bool]]] | None = None
        self._text: tuple[_Form, str] | None = None
        self._written = ""
        self._is_main = "<main" not in text
        self.feed(text)

    def presses(self) -> Iterator[Press]:
        """Everything that a button here would change; a form without buttons is sent by its fields."""
        for form in [*self._forms, self._loose]:
            ticks: list[Pairs] = [(box,) for box in form.boxes] or [()]
            for pairs, action, part in form.buttons:
                ways = [("post", action or form.action, False)] if form.is_sent or action else []
                ways += [(*way, True) for way in (part or form.part,) if way is not None]
                for method, url, is_part in ways:
                    for ticked in ticks:
                        yield Press(method, url or self.url, tuple(form.fields), pairs, ticked, is_part)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "main":
            self._is_main = True
        if self._is_main:
            self.shape.add((tag, given.get("class", "")))
        if "-" in tag:
            self.custom.add(tag)
        match tag:
            case "h1":
                self.headings += 1
            case "title":
                self._written = ""
            case "a" if "href" in given:
                self.links.append((given["href"], "download" in given))
            case "form":
                self._form = _Form(given.get("action", ""), given.get("method") == "post", _part_of(given))
                self._forms.append(self._form)
                self._by_id[given.get("id", "")] = self._form
            case "input" | "select" | "textarea" | "button":
                self._control(tag, given)
            case "option" if self._select is not None:
                self._select[2].append((given.get("value", ""), "selected" in given))
        if "hx-get" in given and tag not in FILTERS:
            self.parts.append(given["hx-get"])
        if tag not in ("form", "button", "input") and (part := _part_of(given)):
            (self._form or self._loose).buttons.append(((), "", part))

    def _control(self, tag: str, given: dict[str, str]) -> None:
        form = self._by_id.get(given["form"]) if "form" in given else self._form
        form, name, kind = form or self._loose, given.get("name", ""), given.get("type", "")
        if tag == "button" or (tag == "input" and kind in ("submit", "image")):
            part = _part_of(given)
            if kind != "button" or part is not None:
                pairs: Pairs = ((name, given.get("value", "")),) if name else ()
                form.buttons.append((pairs, given.get("formaction", ""), part))
        elif not name or "disabled" in given:
            return
        elif tag == "select":
            self._select = (form, name, [])
        elif tag == "textarea":
            self._text, self._written = (form, name), ""
        elif kind in ("checkbox", "radio") and "checked" not in given:
            if name == "id":
                form.boxes.append((name, given.get("value", "on")))
        elif kind != "file":
            form.fields.append((name, given.get("value", "on" if kind == "checkbox" else "")))

    def handle_data(self, data: str) -> None:
        self._written += data

    def handle_endtag(self, tag: str) -> None:
        match tag:
            case "title" if not self.title:
                self.title = self._written
            case "form":
                self._form = None
            case "select" if self._select is not None:
                form, name, options = self._select
                chosen = [value for value, is_selected in options if is_selected] or [
                    v for v, _ in options[:1]
                ]
                form.fields += [(name, value) for value in chosen]
                self._select = None
            case "textarea" if self._text is not None:
                self._text[0].fields.append((self._text[1], self._written))
                self._text = None
            case "main":
                self._is_main = False


def _part_of(given: dict[str, str]) -> tuple[str, str] | None:
    return next(((name.removeprefix("hx-"), given[name]) for name in SENDING if name in given), None)


def route_of(url: str) -> tuple[str, str]:
    """The path without what names one of many, and the names of the fields in the address."""
    parts = urlsplit(url)
    path = ONE_OF_MANY.sub("…", parts.path)
    for same in ("/docs/", "/admin/"):
        if path.startswith(same) and path != same:
            path = f"{same}…"
    return path, " ".join(sorted(name for name, value in parse_qsl(parts.query) if value))
