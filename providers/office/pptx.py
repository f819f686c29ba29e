"""Presentations → Markdown: slides with their numbers and titles, text, tables, diagrams, notes.

https://ecma-international.org/publications-and-standards/standards/ecma-376 (PresentationML)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element

from providers.office.archive import Archive
from providers.office.docx import child, inside, local, relation_id
from providers.office.markdown import Markdown, one_line, table

TITLES: Final = frozenset({"title", "ctrTitle"})
FURNITURE: Final = frozenset({"sldNum", "dt", "ftr", "hdr"})
"""Placeholders that say the same on every slide."""


def write(archive: Archive, main: str, out: Markdown) -> None:
    relations = archive.relations(main)
    slides = inside(archive.xml(main), "sldIdLst")
    places = [relations.get(relation_id(slide), ("", ""))[1] for slide in slides]
    for number, place in enumerate((place for place in places if place in archive), 1):
        _slide(archive, place, number, out)


def _slide(archive: Archive, place: str, number: int, out: Markdown) -> None:
    slide = archive.xml(place)
    title, blocks = "", []
    for shape in _shapes(slide):
        kind = _placeholder(shape)
        if kind in FURNITURE:
            continue
        if kind in TITLES and not title:
            title = one_line(" ".join(_paragraphs(shape)))
        elif local(shape) == "tbl":
            blocks.append(table(_rows(shape)))
        elif local(shape) == "pic":
            blocks.append(_picture(shape))
        else:
            blocks.append("\n".join(_paragraphs(shape)))
    hidden = " (hidden)" if slide.get("show") in ("0", "false") else ""
    out.heading(2, f"Slide {number}{hidden}{': ' if title else ''}{title}")
    for block in blocks:
        out.add(block)
    relations = archive.relations(place).values()
    for kind, target in relations:
        if kind == "diagramData" and target in archive:
            out.add("\n".join(_paragraphs(archive.xml(target))))
    for kind, target in relations:
        if kind == "notesSlide" and target in archive:
            shapes = (shape for shape in _shapes(archive.xml(target)) if _placeholder(shape) == "body")
            notes = "\n".join("\n".join(_paragraphs(shape)) for shape in shapes)
            out.add(f"Notes: {notes}" if notes.strip() else "")


def _shapes(element: Element) -> Iterator[Element]:
    """Text boxes, pictures and tables in their order, out of their groups."""
    for inner in element:
        name = local(inner)
        if name in ("sp", "pic", "tbl"):
            yield inner
        elif name != "Fallback":
            yield from _shapes(inner)


def _placeholder(shape: Element) -> str:
    """What the shape is for; a placeholder without a type is a body's."""
    for properties in shape:
        if local(properties).startswith("nv"):
            found = child(properties, "nvPr", "ph")
            return found.get("type", "body") if found is not None else ""
    return ""


def _paragraphs(element: Element) -> list[str]:
    found: list[str] = []
    for inner in element:
        if local(inner) == "p":
            text = _line(inner)
            if text.strip():
                properties = child(inner, "pPr")
                depth = properties.get("lvl", "0") if properties is not None else "0"
                found.append(f"{'  ' * (int(depth) if depth.isdecimal() else 0)}{text}")
        else:
            found += _paragraphs(inner)
    return found


def _line(paragraph: Element) -> str:
    parts = []
    for inner in paragraph.iter():
        if local(inner) == "t":
            parts.append(inner.text or "")
        elif local(inner) == "br":
            parts.append("\n")
    return "".join(parts)


def _rows(element: Element) -> list[list[str]]:
    rows = (row for row in element if local(row) == "tr")
    return [["\n".join(_paragraphs(cell)) for cell in row if local(cell) == "tc"] for row in rows]


def _picture(shape: Element) -> str:
    for properties in shape:
        described = child(properties, "cNvPr") if local(properties).startswith("nv") else None
        if described is not None and described.get("descr"):
            return f"[Picture: {one_line(described.get('descr', ''))}]"
    return ""
