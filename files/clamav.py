"""Asks ClamAV's daemon about a file, over its socket.

https://docs.clamav.net/manual/Usage/Scanning.html#clamd and clamd(8): INSTREAM
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from django.conf import settings

from files.scanning import Verdict
from providers.errors import Unavailable
from providers.types import ByteSource

SECONDS: Final = 60.0
LONGEST_REPLY: Final = 4096


def scan(source: ByteSource, filename: str, media_type: str) -> Verdict:
    """Raises Unavailable when the daemon cannot be asked."""
    del filename, media_type
    try:
        with _connected(settings.CLAMAV_ADDRESS) as daemon:
            daemon.sendall(b"zINSTREAM\0")
            try:
                for piece in source.read(0, source.size):
                    daemon.sendall(struct.pack(">I", len(piece)) + piece)
                daemon.sendall(struct.pack(">I", 0))
            except (BrokenPipeError, ConnectionResetError):
                # It stops reading at its size limit, and says so.
                pass
            return _verdict(_reply(daemon))
    except OSError:
        raise Unavailable(
            "The virus scanner cannot be asked at the moment.", code="scanner_unavailable"
        ) from None


def _connected(address: str) -> socket.socket:
    host, colon, port = address.rpartition(":")
    if address.startswith("/"):
        daemon = socket.socket(socket.AF_UNIX)
        daemon.settimeout(SECONDS)
        daemon.connect(address)
        return daemon
    return socket.create_connection((host if colon else address, int(port) if colon else 3310), SECONDS)


def _reply(daemon: socket.socket) -> str:
    said = b""
    while not said.endswith(b"\0") and len(said) < LONGEST_REPLY:
        piece = daemon.recv(LONGEST_REPLY)
        if not piece:
            break
        said += piece
    return said.rstrip(b"\0\n").decode("utf-8", "replace")


def _verdict(reply: str) -> Verdict:
    """`stream: OK`, `stream: NAME FOUND`, `… size limit exceeded. ERROR`."""
    if reply.endswith("OK"):
        return Verdict(is_clean=True)
    if reply.endswith("FOUND"):
        return Verdict(is_clean=False, reason=reply.removeprefix("stream:").removesuffix("FOUND").strip())
    if "size limit exceeded" in reply:
        return Verdict(is_clean=False, reason="the file is larger than the scanner accepts")
    raise Unavailable("The virus scanner did not answer as expected.", code="scanner_unavailable")
