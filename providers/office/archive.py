"""A ZIP from anyone, read with limits: members, bytes and how far they swell are counted while reading.

https://owasp.org/www-project-application-security-verification-standard (5.2.3)
"""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import parse

from providers.office.refusal import Refused

MAX_MEMBERS: Final = 20_000
MAX_BYTES: Final = 256 << 20
"""Of all that is read, decompressed."""
MAX_MEMBER_BYTES: Final = 128 << 20
FREE_BYTES: Final = 16 << 20
MAX_SWELLING: Final = 100
"""Beyond FREE_BYTES a member may be this many times as large as it is compressed; office files reach 50."""
MAX_TAGS: Final = 1_000_000
"""Of an XML member that is read as a whole; a book of a thousand pages has half as many."""
MAX_STREAMED_TAGS: Final = 1_500_000
"""Of one that is read bit by bit."""
PIECE: Final = 1 << 16
METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class Archive:
    """Members by name. Raises Refused for whatever is wrong with one."""

    def __init__(self, file: IO[bytes]) -> None:
        try:
            self.zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise Refused("file_damaged", "it is cut short or damaged") from None
        self._members = {info.filename: info for info in self.zip.infolist()}
        if len(self._members) > MAX_MEMBERS:
            raise Refused("file_too_complex", f"it holds more than {MAX_MEMBERS} members")
        self._read = 0

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self, start: str = "", end: str = "") -> list[str]:
        return sorted(name for name in self._members if name.startswith(start) and name.endswith(end))

    def pieces(self, name: str) -> Iterator[bytes]:
        """A member's bytes; no more than the limits, whatever its header says."""
        info = self._members.get(name)
        if info is None:
            raise Refused("file_damaged", f"its part {name} is missing")
        if info.flag_bits & 0x1:
            raise Refused("file_encrypted", "it is protected by a password")
        if info.compress_type not in METHODS:
            raise Refused("file_damaged", f"its part {name} is compressed in a way that is not usual")
        most = min(MAX_MEMBER_BYTES, max(FREE_BYTES, info.compress_size * MAX_SWELLING))
        size = 0
        try:
            with self.zip.open(info) as member:
                while piece := member.read(PIECE):
                    size += len(piece)
                    self._read += len(piece)
                    if size > most or self._read > MAX_BYTES:
                        raise Refused("file_too_complex", "it unpacks to far more bytes than it has")
                    yield piece
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError):
            raise Refused("file_damaged", "it is cut short or damaged") from None

    def bytes_of(self, name: str) -> bytes:
        return b"".join(self.pieces(name))

    def xml(self, name: str) -> Element:
        """The root of an XML member. Entities and document types are refused, nothing outside is fetched."""
        try:
            root = parse(Pieces(self.pieces(name), MAX_TAGS), forbid_dtd=True).getroot()
        except DefusedXmlException:
            raise Refused("file_damaged", "it declares entities, which office files never do") from None
        except (ParseError, ValueError, LookupError):
            raise Refused("file_damaged", f"its part {name} is not valid XML") from None
        assert root is not None, "an XML document has a root"
        return root

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """What a part of an Office file refers to: id → (the last word of its type, place). Addresses
        outside stay as they are."""
        folder, base = posixpath.split(name)
        written = f"{folder}/_rels/{base}.rels" if folder else f"_rels/{base}.rels"
        if written not in self:
            return {}
        found = {}
        for relation in self.xml(written):
            kind = relation.get("Type", "").rpartition("/")[2]
            target = relation.get("Target", "")
            if relation.get("TargetMode") != "External":
                inside = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
                target = posixpath.normpath(inside)
            found[relation.get("Id", "")] = (kind, target)
        return found


class Pieces:
    """The little of a file that an XML parser asks for; so many tags and no more."""

    def __init__(self, pieces: Iterator[bytes], most_tags: int) -> None:
        self._pieces = pieces
        self._left = most_tags

    def read(self, size: int = -1) -> bytes:
        del size
        piece = next(self._pieces, b"")
        self._left -= piece.count(b"<")
        if self._left < 0:
            raise Refused("file_too_complex", "it has more parts than can be read")
        return piece
