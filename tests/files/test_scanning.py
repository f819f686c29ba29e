"""What must not be here is refused, and what a scanner refuses reaches no provider."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from files import clamav, raw, scanning, services, tasks
from files.database import in_thread
from files.models import ManagedFile, RawFile
from files.resolve import resolve
from files.scanning import Verdict
from portal.models import ProviderAccount
from portal.services.access import Caller
from providers.errors import FileFailed, FileNotReady, Forbidden, Unavailable, UnsupportedMedia
from providers.gemini import PROVIDER as GEMINI
from providers.messages import Reference
from providers.types import ByteSource
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files.conftest import MakeFile, store

pytestmark = pytest.mark.django_db(transaction=True)

BAD = b"this file is EICAR-like"
LIMIT = 3 << 20


class Daemon(socketserver.BaseRequestHandler):
    """Speaks clamd's INSTREAM: finds EICAR, and stops reading at its limit."""

    def handle(self) -> None:
        assert self._take(10) == b"zINSTREAM\0"
        data = b""
        while length := struct.unpack(">I", self._take(4))[0]:
            data += self._take(length)
            if len(data) > LIMIT:
                self.request.sendall(b"INSTREAM size limit exceeded. ERROR\0")
                return
        found = b"EICAR" in data
        self.request.sendall(b"stream: Eicar-Test-Signature FOUND\0" if found else b"stream: OK\0")

    def _take(self, count: int) -> bytes:
        taken = b""
        while len(taken) < count:
            taken += self.request.recv(count - len(taken))
        return taken


@pytest.fixture
def clamd(settings: Any) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Daemon) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings.FILE_SCANNER = "clamav"
        settings.CLAMAV_ADDRESS = f"127.0.0.1:{server.server_address[1]}"
        yield settings.CLAMAV_ADDRESS
        server.shutdown()
        thread.join()


def scan_away(source: ByteSource, filename: str, media_type: str) -> Verdict:
    raise Unavailable("away")


def scanned(file: ManagedFile) -> ManagedFile:
    assert scanning.scan_file(file.pk)
    file.refresh_from_db()
    return file


async def shown(file: ManagedFile, caller: Caller, account: ProviderAccount) -> Any:
    resolved = await resolve(
        caller=caller,
        references=[Reference(file.pk, "file", "messages[0].content[0]")],
        account_id=account.pk,
        provider=GEMINI,
        connection=await in_thread(account.connection),
        wait_seconds=0.3,
    )
    return resolved.files[file.pk]


def test_a_clean_file_is_copied_after_its_scan_and_not_before(
    clamd: str, fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount
) -> None:
    file = make_file(samples.pdf(), account_ids=[gemini.pk])
    assert services.to_openai(file)["status"] == "uploaded"
    tasks.copy_file(file.copies.get().pk)
    assert fakes.gemini.uploads() == {} or not fakes.gemini.uploads()
    assert (file.copies.get().state, file.copies.get().attempts) == ("pending", 0)
    assert scanned(file).scan == "clean"
    tasks.sweep_copies()
    assert file.copies.get().state == "active"
    assert services.to_openai(file)["status"] == "processed"


async def test_a_file_in_quarantine_reaches_no_provider(
    clamd: str, fakes: FakeServers, make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    file = await in_thread(make_file, BAD, "a.txt", account_ids=[gemini.pk])
    with pytest.raises(FileNotReady) as early:
        await shown(file, caller, gemini)
    assert early.value.retry_after
    await in_thread(tasks.sweep_copies)
    await file.arefresh_from_db()
    assert (file.scan, file.scan_report) == ("quarantined", "Eicar-Test-Signature")
    with pytest.raises(FileFailed, match="Eicar-Test-Signature") as caught:
        await shown(file, caller, gemini)
    assert caught.value.code == "file_quarantined"
    copy = await file.copies.aget()
    assert copy.state == "failed"
    assert "quarantine" in copy.error
    with pytest.raises(Forbidden):
        scanning.check_not_quarantined(file)
    body = services.to_openai(file)
    assert (body["status"], "Eicar" in body["status_details"]) == ("error", True)
    assert fakes.gemini.requests(path="upload") == []


def test_what_is_too_large_for_the_scanner_is_kept_back(clamd: str, make_file: MakeFile) -> None:
    file = scanned(make_file(bytes(LIMIT + (8 << 20)), "a.bin"))
    assert file.scan == "quarantined"
    assert "larger" in file.scan_report


def test_a_scanner_that_is_away_keeps_files_waiting(
    settings: Any, make_file: MakeFile, fakes: FakeServers, gemini: ProviderAccount
) -> None:
    settings.FILE_SCANNER = "tests.files.test_scanning.scan_away"
    file = make_file(samples.pdf(), account_ids=[gemini.pk])
    for _ in range(3):
        tasks.sweep_copies()
    file.refresh_from_db()
    assert file.scan == "pending"
    assert file.copies.get().attempts == 0
    settings.FILE_SCANNER = ""
    file.copies.update(next_attempt_at=timezone.now())
    tasks.sweep_copies()
    assert file.copies.get().state == "active", "the operator has switched scanning off"


def test_a_dead_daemon_is_told_as_such(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        settings.CLAMAV_ADDRESS = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(Unavailable) as caught:
        clamav.scan(_Bytes(b"x"), "a", "text/plain")
    assert caught.value.code == "scanner_unavailable"


def test_the_daemon_may_listen_at_a_socket_file(settings: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clamd.sock")
    with socketserver.ThreadingUnixStreamServer(path, Daemon) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings.CLAMAV_ADDRESS = path
        assert clamav.scan(_Bytes(b"fine"), "a", "text/plain").is_clean
        assert clamav.scan(_Bytes(BAD), "a", "text/plain").reason == "Eicar-Test-Signature"
        server.shutdown()
        thread.join()


def test_a_file_for_one_provider_alone_is_scanned_before_it_leaves(
    clamd: str, fakes: FakeServers, caller: Caller, gemini: ProviderAccount
) -> None:
    with pytest.raises(FileFailed, match="Eicar"):
        raw.create_raw_file(
            caller=caller, stored=store(BAD), filename="a.txt", purpose="user_data", account_id=gemini.pk
        )
    assert not RawFile.objects.exists()
    assert fakes.gemini.requests(path="upload") == []


@pytest.mark.parametrize(
    ("data", "filename"),
    [(b"MZ" + bytes(100), "harmless.pdf"), (b"echo", "run.BAT"), (b"<svg xmlns='x'/>", "a.svg")],
)
def test_denied_types_and_endings_are_refused_by_content(
    settings: Any, make_file: MakeFile, data: bytes, filename: str
) -> None:
    settings.DENIED_MEDIA_TYPES = ["application/vnd.microsoft.*", "image/svg+xml"]
    settings.DENIED_FILE_ENDINGS = [".bat", "exe"]
    with pytest.raises(UnsupportedMedia) as caught:
        make_file(data, filename)
    assert caught.value.code == "file_type_not_allowed"
    assert not ManagedFile.objects.exists()
    make_file(b"allowed", "a.txt")


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        yield self._data[offset : offset + length]
