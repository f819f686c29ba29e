"""Reads multipart/form-data piece by piece, parts in any order, nothing kept but small fields.

Written from https://www.rfc-editor.org/rfc/rfc7578 and what HTTP clients send.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from providers.errors import InvalidRequest

MOST_PARTS = 100
LONGEST_FIELD = 64 * 1024
MOST_HEADERS = 8
LONGEST_HEADER = 4096
PLAIN_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})
"""Base64 in forms is long deprecated, and decoding it has burnt servers (CVE-2026-33033)."""
EXTENDED_FILENAME = re.compile(r"""filename\*\s*=\s*utf-8'[^']*'([^;\s]+)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Field:
    """A whole small field."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FileStart:
    """A file begins; its data follows. `filename` is what the client said, empty when it said nothing."""

    name: str
    filename: str
    media_type: str


@dataclass(frozen=True, slots=True)
class FileData:
    data: bytes


@dataclass(frozen=True, slots=True)
class FileEnd:
    pass


Event: TypeAlias = Field | FileStart | FileData | FileEnd


class FormReader:
    """Takes the body as it arrives, cut anywhere, and tells what it holds.

    A part is a file when it has a filename or its name is among `files`. Raises InvalidRequest.
    """

    def __init__(self, content_type: str, files: Collection[str] = ()) -> None:
        self._files = files
        self._events: list[Event] = []
        self._parts = 0
        self._has_ended = False
        self._headers: dict[str, str] = {}
        self._header_name = b""
        self._header_value = b""
        self._field: str | None = None
        self._pieces: list[bytes] = []
        self._field_size = 0
        self._parser = _parser(content_type, self)

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed(f"The multipart body is malformed: {error}.") from None
        self._flush_file()
        events, self._events = self._events, []
        return events

    def finish(self) -> None:
        """Raises InvalidRequest when the body stopped before its closing boundary."""
        if not self._has_ended:
            raise _malformed("The multipart body ends before its closing boundary.")

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _malformed(f"A form may have at most {MOST_PARTS} parts.")
        self._headers = {}

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._header_name.decode("latin-1").lower()] = self._header_value.decode("latin-1")
        self._header_name = self._header_value = b""

    def on_headers_finished(self) -> None:
        if self._headers.get("content-transfer-encoding", "").strip().lower() not in PLAIN_ENCODINGS:
            raise _malformed(
                "Parts with a Content-Transfer-Encoding are not accepted; send the bytes as they are."
            )
        disposition = self._headers.get("content-disposition", "")
        options = parse_options_header(disposition)[1]
        if b"name" not in options:
            raise _malformed("A part of the form has no name.")
        name = _text(options[b"name"])
        filename = _filename(disposition, options)
        if filename is None and name not in self._files:
            self._field, self._field_size = name, 0
        else:
            self._field = None
            media_type = self._headers.get("content-type", "").partition(";")[0].strip().lower()
            self._events.append(FileStart(name, filename or "", media_type[:127]))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])
        if self._field is not None:
            self._field_size += end - start
            if self._field_size > LONGEST_FIELD:
                raise InvalidRequest(
                    f"The form field {self._field[:100]} is longer than {LONGEST_FIELD} bytes.",
                    param=self._field[:100],
                )

    def on_part_end(self) -> None:
        if self._field is None:
            self._flush_file()
            self._events.append(FileEnd())
            return
        value = b"".join(self._pieces)
        self._pieces = []
        try:
            self._events.append(Field(self._field, value.decode()))
        except UnicodeDecodeError:
            raise InvalidRequest(
                f"The form field {self._field[:100]} is not UTF-8.", param=self._field[:100]
            ) from None
        self._field = None

    def on_end(self) -> None:
        self._has_ended = True

    def _flush_file(self) -> None:
        if self._pieces and self._field is None:
            data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces = []
            if data:
                self._events.append(FileData(data))


def _parser(content_type: str, reader: FormReader) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise _malformed("Send a multipart/form-data body with a boundary.")
    try:
        return MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": reader.on_part_begin,
                "on_part_data": reader.on_part_data,
                "on_part_end": reader.on_part_end,
                "on_header_field": reader.on_header_field,
                "on_header_value": reader.on_header_value,
                "on_header_end": reader.on_header_end,
                "on_headers_finished": reader.on_headers_finished,
                "on_end": reader.on_end,
            },
            max_header_count=MOST_HEADERS,
            max_header_size=LONGEST_HEADER,
        )
    except FormParserError as error:
        raise _malformed(f"The multipart boundary is malformed: {error}.") from None


def _filename(disposition: str, options: dict[bytes, bytes]) -> str | None:
    if b"filename" in options:
        return _text(options[b"filename"])
    # Forbidden in forms by RFC 7578, sent all the same for names beyond ASCII.
    extended = EXTENDED_FILENAME.search(disposition)
    return unquote(extended[1]) if extended else None


def _text(value: bytes) -> str:
    """Clients send UTF-8; what is not is shown as Latin-1 rather than refused."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _malformed(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_multipart")
