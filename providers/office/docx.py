"""Word documents → Markdown: headings, lists, tables, links, notes, comments, heads and feet of pages.

https://ecma-international.org/publications-and-standards/standards/ecma-376 (WordprocessingML)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from providers.office.archive import Archive
from providers.office.markdown import Markdown, one_line, table

W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
STRICT: Final = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
R_IDS: Final = (
    "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id",
    "{http://purl.oclc.org/ooxml/officeDocument/relationships}id",
)
BREAKS: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "softHyphen": ""}
HIDDEN: Final = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText", "pPr", "rPr", "tblPr"})
"""Deleted text, a second form of what stands there already, and properties."""
NOTES: Final = {"footnotes": "Footnotes", "endnotes": "Endnotes", "comments": "Comments"}


@dataclass(frozen=True, slots=True)
class Document:
    """What paragraphs refer to."""

    levels: dict[str, int]
    """Style → level of heading."""
    lists: frozenset[str]
    """Styles of list items."""
    links: dict[str, str]


def write(archive: Archive, main: str, out: Markdown) -> None:
    relations = archive.relations(main)
    places = dict(relations.values())
    links = {key: place for key, (kind, place) in relations.items() if kind == "hyperlink"}
    styles = places.get("styles", "")
    levels, lists = _styles(archive.xml(styles)) if styles in archive else ({}, frozenset())
    document = Document(levels, lists, links)
    body = child(archive.xml(main), "body")
    if body is not None:
        _blocks(body, document, out)
    for kind, title in NOTES.items():
        if places.get(kind, "") in archive:
            _notes(archive.xml(places[kind]), kind, title, document, out)
    ends = sorted(place for kind, place in relations.values() if kind in ("header", "footer"))
    texts = dict.fromkeys(one_line(_text(archive.xml(place), document)) for place in ends if place in archive)
    said = [text for text in texts if text]
    if said:
        out.heading(2, "Headers and footers")
        out.add("\n".join(f"- {text}" for text in said))


def local(element: Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def attribute(element: Element | None, name: str, default: str = "") -> str:
    if element is None:
        return default
    return element.get(W + name) or element.get(STRICT + name) or default


def child(element: Element | None, *path: str) -> Element | None:
    for name in path:
        if element is None:
            return None
        element = next((inner for inner in element if local(inner) == name), None)
    return element


def inside(element: Element | None, *path: str) -> Iterable[Element]:
    """The children of what `path` leads to; none where it leads nowhere."""
    found = child(element, *path)
    return () if found is None else found


def relation_id(element: Element) -> str:
    return next((element.get(name, "") for name in R_IDS if element.get(name)), "")


def _styles(styles: Element) -> tuple[dict[str, int], frozenset[str]]:
    """The levels of headings by style, and the styles of list items."""
    found: dict[str, int] = {}
    lists: set[str] = set()
    for style in styles:
        if local(style) != "style":
            continue
        name = attribute(child(style, "name"), "val").lower()
        outline = attribute(child(style, "pPr", "outlineLvl"), "val")
        key = attribute(style, "styleId")
        if name == "title":
            found[key] = 1
        elif name.startswith("heading ") and name[8:].isdecimal():
            found[key] = int(name[8:])
        elif outline.isdecimal() and int(outline) < 9:
            found[key] = int(outline) + 1
        elif (base := attribute(child(style, "basedOn"), "val")) in found:
            found[key] = found[base]
        elif child(style, "pPr", "numPr") is not None or base in lists:
            lists.add(key)
    return found, frozenset(lists)


def _blocks(parent: Element, document: Document, out: Markdown) -> None:
    """Paragraphs and tables; one list for list items that follow each other."""
    items: list[str] = []
    for block in _unwrapped(parent):
        properties = child(block, "pPr")
        if local(block) == "p" and _is_item(properties, document):
            depth = attribute(child(properties, "numPr", "ilvl"), "val", "0")
            text = one_line(_text(block, document))
            if text:
                items.append(f"{'  ' * (int(depth) if depth.isdecimal() else 0)}- {text}")
            continue
        if items:
            out.add("\n".join(items))
            items.clear()
        if local(block) == "tbl":
            out.add(table(_rows(block, document)))
        elif level := _level(properties, document):
            out.heading(level, _text(block, document))
        else:
            out.add(_text(block, document))
    out.add("\n".join(items))


def _is_item(properties: Element | None, document: Document) -> bool:
    listed = attribute(child(properties, "pStyle"), "val") in document.lists
    numbered = child(properties, "numPr") is not None
    return (listed or numbered) and not _level(properties, document)


def _unwrapped(parent: Element) -> list[Element]:
    """The blocks in a body or a cell, also those within content controls and accepted insertions."""
    found: list[Element] = []
    for element in parent:
        name = local(element)
        if name in ("p", "tbl"):
            found.append(element)
        elif name not in HIDDEN:
            found += _unwrapped(element)
    return found


def _level(properties: Element | None, document: Document) -> int:
    outline = attribute(child(properties, "outlineLvl"), "val")
    if outline.isdecimal() and int(outline) < 9:
        return int(outline) + 1
    return document.levels.get(attribute(child(properties, "pStyle"), "val"), 0)


def _rows(element: Element, document: Document) -> list[list[str]]:
    rows: list[list[str]] = []
    for row in element:
        if local(row) == "tr":
            rows.append([_text(inner, document) for inner in _cells(row)])
        elif local(row) in ("sdt", "sdtContent", "ins"):
            rows += _rows(row, document)
    return rows


def _cells(row: Element) -> list[Element]:
    found: list[Element] = []
    for element in row:
        if local(element) == "tc":
            found.append(element)
        elif local(element) in ("sdt", "sdtContent", "ins"):
            found += _cells(element)
    return found


def _text(element: Element, document: Document) -> str:
    parts: list[str] = []
    _collect(element, document, parts)
    return "".join(parts).strip()


def _collect(element: Element, document: Document, parts: list[str]) -> None:
    for inner in element:
        name = local(inner)
        if name == "t":
            parts.append(inner.text or "")
        elif name in BREAKS:
            parts.append(BREAKS[name])
        elif name in ("footnoteReference", "endnoteReference"):
            parts.append(f"[^{attribute(inner, 'id')}]")
        elif name == "docPr" and inner.get("descr"):
            parts.append(f"[Picture: {one_line(inner.get('descr', ''))}]")
        elif name == "hyperlink":
            place = document.links.get(relation_id(inner), "")
            text = _text(inner, document)
            parts.append(f"[{text}]({place})" if place and text else text)
        elif name in ("p", "tr"):
            _collect(inner, document, parts)
            parts.append("\n")
        elif name == "tc":
            _collect(inner, document, parts)
            parts.append(" ")
        elif name not in HIDDEN:
            _collect(inner, document, parts)


def _notes(notes: Element, kind: str, title: str, document: Document, out: Markdown) -> None:
    written = []
    for note in notes:
        text = one_line(_text(note, document))
        if not text or attribute(note, "type") in ("separator", "continuationSeparator"):
            continue
        author = attribute(note, "author")
        mark = f"- {author}: " if kind == "comments" and author else "- "
        written.append(f"{mark}{text}" if kind == "comments" else f"[^{attribute(note, 'id')}]: {text}")
    if written:
        out.heading(2, title)
        out.add("\n".join(written))
