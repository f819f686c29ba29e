"""OpenDocument text, spreadsheets and presentations → Markdown.

https://docs.oasis-open.org/office/OpenDocument/v1.3
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element

from providers.office.archive import Archive
from providers.office.docx import inside, local
from providers.office.markdown import Markdown, one_line, table
from providers.office.refusal import Refused

TABLE: Final = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
TEXT: Final = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
DRAW: Final = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
XLINK: Final = "{http://www.w3.org/1999/xlink}"
HIDDEN: Final = frozenset(
    {"tracked-changes", "forms", "sequence-decls", "note-citation", "shapes", "settings"}
)
MAX_COLUMNS: Final = 1_000
MAX_ROWS: Final = 100_000
MAX_SPACES: Final = 1_000


def write(archive: Archive, main: str, out: Markdown) -> None:
    del main
    if "META-INF/manifest.xml" in archive and b"encryption-data" in archive.bytes_of("META-INF/manifest.xml"):
        raise Refused("file_encrypted", "it is protected by a password")
    for kind in inside(archive.xml("content.xml"), "body"):
        match local(kind):
            case "presentation":
                _slides(kind, out)
            case "spreadsheet":
                for sheet in kind:
                    if local(sheet) == "table":
                        out.heading(2, f"Sheet: {sheet.get(TABLE + 'name', '')}")
                        out.add(table(_rows(sheet, out.left)))
            case _:
                notes: list[str] = []
                _blocks(kind, out, notes)
                out.add("\n".join(notes))


def _slides(presentation: Element, out: Markdown) -> None:
    pages = (page for page in presentation if local(page) == "page")
    for number, page in enumerate(pages, 1):
        out.heading(2, f"Slide {number}: {page.get(DRAW + 'name', '')}")
        notes: list[str] = []
        for shape in page:
            if local(shape) == "notes":
                said = "\n".join(_paragraphs(shape, notes))
                out.add(f"Notes: {said}" if said.strip() else "")
            elif local(shape) not in HIDDEN:
                _blocks(shape, out, notes)
        out.add("\n".join(notes))


def _paragraphs(element: Element, notes: list[str]) -> Iterator[str]:
    for inner in element:
        if local(inner) in ("p", "h"):
            yield _text(inner, notes)
        elif local(inner) not in HIDDEN:
            yield from _paragraphs(inner, notes)


def _blocks(parent: Element, out: Markdown, notes: list[str]) -> None:
    for block in parent:
        match local(block):
            case "h":
                level = block.get(TEXT + "outline-level", "1")
                out.heading(int(level) if level.isdecimal() else 1, _text(block, notes))
            case "p":
                out.add(_text(block, notes))
            case "list":
                out.add("\n".join(_items(block, 0, notes)))
            case "table":
                out.add(table(_rows(block, out.left, notes)))
            case name if name not in HIDDEN:
                _blocks(block, out, notes)


def _items(element: Element, depth: int, notes: list[str]) -> Iterator[str]:
    for item in element:
        for inner in item:
            if local(inner) == "list":
                yield from _items(inner, depth + 1, notes)
            elif text := one_line(_text(inner, notes)):
                yield f"{'  ' * depth}- {text}"


def _rows(element: Element, room: int, notes: list[str] | None = None) -> list[list[str]]:
    """Rows as often as they are repeated, as far as there is room; empty ones are left out."""
    rows: list[list[str]] = []
    for row in _table_rows(element):
        cells = _cells(row, [] if notes is None else notes)
        if not cells:
            continue
        size = sum(map(len, cells)) + 3 * len(cells)
        for _ in range(min(_repeated(row, "number-rows-repeated"), MAX_ROWS)):
            rows.append(cells)
            room -= size
            if room < 0:
                return rows
    return rows


def _table_rows(element: Element) -> Iterator[Element]:
    """Also those in groups and among the head rows."""
    for inner in element:
        if local(inner) == "table-row":
            yield inner
        elif local(inner).startswith("table-") and local(inner) not in ("table-column", "table-columns"):
            yield from _table_rows(inner)


def _cells(row: Element, notes: list[str]) -> list[str]:
    cells: list[str] = []
    empty = 0
    for cell in row:
        if local(cell) not in ("table-cell", "covered-table-cell"):
            continue
        text = "\n".join(_paragraphs(cell, notes)).strip()
        times = min(_repeated(cell, "number-columns-repeated"), MAX_COLUMNS)
        if not text:
            empty += times
            continue
        cells += [""] * empty + [text] * times
        empty = 0
        if len(cells) >= MAX_COLUMNS:
            return cells[:MAX_COLUMNS]
    return cells


def _repeated(element: Element, name: str) -> int:
    written = element.get(TABLE + name, "1")
    return max(int(written), 1) if written.isdecimal() and len(written) < 10 else 1


def _text(element: Element, notes: list[str]) -> str:
    parts = [element.text or ""]
    for inner in element:
        match local(inner):
            case "s":
                count = inner.get(TEXT + "c", "1")
                parts.append(" " * min(int(count) if count.isdecimal() else 1, MAX_SPACES))
            case "tab":
                parts.append("\t")
            case "line-break":
                parts.append("\n")
            case "note":
                notes.append(f"[^{len(notes) + 1}]: {one_line(_text(inner, notes))}")
                parts.append(f"[^{len(notes)}]")
            case "annotation":
                notes.append(f"[^{len(notes) + 1}]: Comment: {one_line(_text(inner, notes))}")
                parts.append(f"[^{len(notes)}]")
            case "a":
                place, text = inner.get(XLINK + "href", ""), _text(inner, notes)
                parts.append(f"[{text}]({place})" if place and text else text)
            case "p" | "h":
                parts.append(_text(inner, notes) + "\n")
            case "title" | "desc" if inner.text:
                parts.append(f"[Picture: {one_line(inner.text)}]")
            case name if name not in HIDDEN:
                parts.append(_text(inner, notes))
        parts.append(inner.tail or "")
    return "".join(parts)
