"""One office file → Markdown. Runs in a process of its own: see providers.office.__main__."""

from __future__ import annotations

from typing import IO, Final

from striprtf.striprtf import rtf_to_text

from providers.office import docx, odf, pptx, xlsx
from providers.office.archive import Archive
from providers.office.markdown import Full, Markdown
from providers.office.refusal import Refused

OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
WRITERS: Final = {"word": docx.write, "xl": xlsx.write, "ppt": pptx.write}
"""Folder of the main part → who reads it."""
MAX_RTF_BYTES: Final = 20 << 20


def read(file: IO[bytes]) -> tuple[str, bool]:
    """The text, and whether it was cut. What it is, is told from its content. Raises Refused."""
    start = file.read(8)
    file.seek(0)
    out = Markdown()
    if start.startswith(OLE):
        raise Refused("file_encrypted", "it is protected by a password, or of the formats before 2007")
    try:
        if start.startswith(b"{\\rtf"):
            _rtf(file, out)
        else:
            _zip(Archive(file), out)
    except Full:
        pass
    except RecursionError:
        raise Refused("file_too_complex", "its parts are nested too deep") from None
    text = out.text()
    if not text:
        raise Refused("file_without_text", "it holds no text")
    return text, out.is_cut


def _zip(archive: Archive, out: Markdown) -> None:
    main = next((place for kind, place in archive.relations("").values() if kind == "officeDocument"), "")
    if main in archive:
        writer = WRITERS.get(main.partition("/")[0])
        if writer is not None:
            writer(archive, main, out)
            return
    if "content.xml" in archive:
        odf.write(archive, "content.xml", out)
        return
    raise Refused("file_damaged", "it has no document in it")


def _rtf(file: IO[bytes], out: Markdown) -> None:
    data = file.read(MAX_RTF_BYTES + 1)
    if len(data) > MAX_RTF_BYTES:
        raise Refused("file_too_complex", f"it has more than {MAX_RTF_BYTES} bytes")
    try:
        written = data.decode("cp1252", "replace")
        text: str = rtf_to_text(written, errors="replace")  # type: ignore[no-untyped-call]  # has no types
    except (ValueError, LookupError, IndexError, KeyError):
        raise Refused("file_damaged", "its RTF cannot be read") from None
    out.add(text.strip())
