"""Audio answers: pieces of base64 joined, and a WAV header where the caller wants one.

https://ai.google.dev/gemini-api/docs/speech-generation
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Sequence
from typing import Final

from providers.errors import UpstreamInvalid
from providers.gemini import spec

_RATE = re.compile(r"rate=(\d{4,6})\b")
_RAW: Final = ("audio/l16", "audio/pcm")
_BYTES_PER_SAMPLE: Final = 2


def joined(pieces: Sequence[tuple[str, str]], *, as_wav: bool) -> str:
    """The base64 of all pieces (media type, base64) as one; raw samples get a header for WAV."""
    if not pieces:
        return ""
    mime_type = pieces[0][0].lower()
    wrap = as_wav and mime_type.startswith(_RAW)
    if len(pieces) == 1 and not wrap:
        return pieces[0][1]
    try:
        data = b"".join(base64.b64decode(piece, validate=True) for _, piece in pieces)
    except (binascii.Error, ValueError) as error:
        raise UpstreamInvalid("The provider sent audio that cannot be decoded.") from error
    if wrap:
        data = wav_header(len(data), rate_of(mime_type)) + data
    return base64.b64encode(data).decode("ascii")


def rate_of(mime_type: str) -> int:
    """`audio/L16;codec=pcm;rate=24000` → 24000."""
    found = _RATE.search(mime_type)
    return int(found[1]) if found else spec.SPEECH_RATE


def wav_header(size: int, rate: int) -> bytes:
    """The header of `size` bytes of 16-bit mono samples."""
    size = min(size, 0xFFFF_FFFF - 36)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * _BYTES_PER_SAMPLE, _BYTES_PER_SAMPLE,
        _BYTES_PER_SAMPLE * 8, b"data", size,
    )  # fmt: skip
