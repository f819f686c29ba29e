"""Text of office files, for models that do not read them: Word, Excel, PowerPoint, OpenDocument and RTF.

The text is Markdown. Macros and embedded files are ignored, and nothing that a file refers to is fetched.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from providers.errors import FileFailed

VERSION: Final = 1
"""Grows with every change of what is written, so that texts that are kept are made anew."""
MEDIA_TYPE: Final = "text/plain"
SECONDS: Final = 40.0
TOO_LONG: Final = ("file_too_complex", "it takes too long to read")
NOT_UNDERSTOOD: Final = ("file_damaged", "its content is not what such files hold")
ROOT: Final = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True, slots=True)
class Text:
    """A file's text; `is_cut` when the file holds more."""

    text: str
    is_cut: bool


def to_text(file: IO[bytes], name: str) -> Text:
    """Reads an open file with a descriptor. Blocks for some tenths of a second.

    Raises FileFailed with the code file_damaged, file_encrypted, file_without_text or file_too_complex.
    """
    file.seek(0)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "providers.office"],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env={"PYTHONPATH": ROOT},
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise failed(name, *TOO_LONG) from None
    if done.returncode:
        # A signal means that a limit was reached.
        raise failed(name, *(TOO_LONG if done.returncode < 0 else NOT_UNDERSTOOD))
    said = json.loads(done.stdout)
    if "code" in said:
        raise failed(name, said["code"], said["why"])
    return Text(said["text"], said["is_cut"])


def bytes_to_text(data: bytes, name: str) -> Text:
    """`to_text` of bytes in memory."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return to_text(file, name)


def failed(name: str, code: str, why: str) -> FileFailed:
    shown = "".join(character for character in name if character.isprintable())[:200]
    return FileFailed(f"The file {shown!r} cannot be read: {why}.", code=code)
