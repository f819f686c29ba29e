"""Workbooks → Markdown: a table per sheet with values as they were last calculated, comments.

https://ecma-international.org/publications-and-standards/standards/ecma-376 (SpreadsheetML)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from providers.office.archive import MAX_STREAMED_TAGS, Archive, Pieces
from providers.office.docx import child, inside, local, relation_id
from providers.office.markdown import Markdown, one_line, table
from providers.office.refusal import Refused

MAX_COLUMNS: Final = 1_000
MAX_CELLS: Final = 250_000
# Formats without a pattern of their own that stand for dates and times: ECMA-376 part 1, 18.8.30.
DATE_FORMATS: Final = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
LITERALS: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')
COLUMN: Final = re.compile(r"[A-Z]{1,3}")
EPOCHS: Final = {False: datetime(1899, 12, 30), True: datetime(1904, 1, 1)}  # noqa: DTZ001 - no zone is meant


@dataclass(frozen=True, slots=True)
class Book:
    """What cells refer to."""

    strings: list[str]
    dates: frozenset[int]
    """Numbers of styles that show dates."""
    epoch: datetime


def write(archive: Archive, main: str, out: Markdown) -> None:
    workbook, relations = archive.xml(main), archive.relations(main)
    places = dict(relations.values())
    book = Book(
        _strings(archive, places.get("sharedStrings", "")),
        _dates(archive, places.get("styles", "")),
        EPOCHS[_says(child(workbook, "workbookPr"), "date1904")],
    )
    for sheet in inside(workbook, "sheets"):
        _, place = relations.get(relation_id(sheet), ("", ""))
        if place in archive and "chartsheet" not in place:
            hidden = " (hidden)" if sheet.get("state", "visible") != "visible" else ""
            out.heading(2, f"Sheet: {sheet.get('name', '')}{hidden}")
            _sheet(archive, place, book, out)


def _says(element: Element | None, name: str) -> bool:
    return element is not None and element.get(name) in ("1", "true")


def _strings(archive: Archive, place: str) -> list[str]:
    if place not in archive:
        return []
    return [_string(item) for item in _elements(archive, place, "si")]


def _string(item: Element) -> str:
    """The text of a plain or formatted string, without its phonetic reading."""
    parts = []
    for inner in item:
        if local(inner) == "t":
            parts.append(inner.text or "")
        elif local(inner) == "r":
            parts += [text.text or "" for text in inner if local(text) == "t"]
    return "".join(parts)


def _dates(archive: Archive, place: str) -> frozenset[int]:
    if place not in archive:
        return frozenset()
    styles = archive.xml(place)
    formats = set(DATE_FORMATS)
    for written in inside(styles, "numFmts"):
        pattern = LITERALS.sub("", written.get("formatCode", "").partition(";")[0]).lower()
        number = written.get("numFmtId", "")
        if number.isdecimal():
            (formats.add if re.search("[ymdhs]", pattern) else formats.discard)(int(number))
    used = [style.get("numFmtId", "") for style in inside(styles, "cellXfs")]
    return frozenset(i for i, number in enumerate(used) if number.isdecimal() and int(number) in formats)


def _sheet(archive: Archive, place: str, book: Book, out: Markdown) -> None:
    """Rows as far as there is room for them."""
    rows: list[list[str]] = []
    room, cells, is_whole = out.left, 0, True
    for element in _elements(archive, place, "row"):
        row = _row(element, book)
        cells += max(len(row), 1)
        room -= sum(map(len, row)) + 3 * len(row)
        if row:
            rows.append(row)
        if room < 0 or cells > MAX_CELLS:
            is_whole = False
            break
    out.add(table(rows))
    if not is_whole:
        out.cut()
    for kind, target in archive.relations(place).values():
        if kind == "comments" and target in archive:
            said = (
                f"- {comment.get('ref', '')}: {one_line(_string(text))}"
                for comment in archive.xml(target).iter()
                if local(comment) == "comment" and (text := child(comment, "text")) is not None
            )
            if lines := list(said):
                out.add("Comments:\n" + "\n".join(lines))


def _row(element: Element, book: Book) -> list[str]:
    """Values by their columns, up to the last that is not empty."""
    row: list[str] = []
    for cell in element:
        if local(cell) != "c":
            continue
        named = COLUMN.match(cell.get("r", ""))
        index = _index(named.group()) if named else len(row)
        value = _value(cell, book)
        if not value or index >= MAX_COLUMNS:
            continue
        row += [""] * (index + 1 - len(row))
        row[index] = value
    return row


def _index(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _value(cell: Element, book: Book) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        inside = child(cell, "is")
        return _string(inside) if inside is not None else ""
    held = child(cell, "v")
    value = (held.text or "") if held is not None else ""
    if not value:
        # A program that calculates nothing wrote it; the formula says more than nothing.
        formula = child(cell, "f")
        return f"={formula.text}" if formula is not None and formula.text else ""
    match kind:
        case "s":
            known = value.isdecimal() and int(value) < len(book.strings)
            return book.strings[int(value)] if known else ""
        case "b":
            return "TRUE" if value == "1" else "FALSE"
        case "n":
            style = cell.get("s", "0")
            return _number(value, style.isdecimal() and int(style) in book.dates, book.epoch)
        case _:
            return value


def _number(value: str, is_date: bool, epoch: datetime) -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    if is_date:
        try:
            moment = epoch + timedelta(days=number)
        except OverflowError:
            return value
        if 0 <= number < 1:
            return f"{moment:%H:%M:%S}"
        # Spreadsheets keep fractions of days; the nearest second is what was meant.
        moment = (moment + timedelta(microseconds=500_000)).replace(microsecond=0)
        return f"{moment:%Y-%m-%d}" if moment.time() == moment.min.time() else f"{moment:%Y-%m-%d %H:%M:%S}"
    return f"{number:.15g}" if abs(number) < 1e15 else value


def _elements(archive: Archive, place: str, name: str) -> Iterator[Element]:
    """Elements of a name as they are read, each emptied when the next is wanted."""
    source = Pieces(archive.pieces(place), MAX_STREAMED_TAGS)
    try:
        for _, element in iterparse(source, forbid_dtd=True):
            if local(element) == name:
                yield element
                element.clear()
    except DefusedXmlException:
        raise Refused("file_damaged", "it declares entities, which office files never do") from None
    except (ParseError, LookupError):
        raise Refused("file_damaged", f"its part {place} is not valid XML") from None
