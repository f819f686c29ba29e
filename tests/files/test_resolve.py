"""A request sees its files in the best way its account allows, and never goes without them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from files import inline, leases
from files.database import in_thread
from files.models import ManagedFile, ProviderFileMapping
from files.resolve import Resolved, check, forget, resolve
from files.tasks import sweep_copies
from portal.models import ProviderAccount
from portal.services.access import Caller
from providers import registry
from providers.errors import (
    FileCorrupt,
    FileFailed,
    FileNotFound,
    FileNotReady,
    InvalidRequest,
    TooLarge,
    UnsupportedFile,
)
from providers.messages import Reference
from providers.types import InlineFile, ProviderFile
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files import cold_account
from tests.files.conftest import MakeFile

pytestmark = pytest.mark.django_db(transaction=True)
FOLDER = Path(settings.STORAGES["local"]["OPTIONS"]["location"])
LARGE = b"%PDF-1.4\n" + bytes(range(256)) * (62 << 10)
"""Just more than Gemini is given inline."""


def mention(file: ManagedFile | str, part_type: str = "file") -> Reference:
    value = file if isinstance(file, str) else file.pk
    return Reference(value, part_type, f"messages[0].content[0].{part_type}")


async def ask(caller: Caller, account: ProviderAccount, *mentions: Reference, wait: float = 20) -> Resolved:
    return await resolve(
        caller=caller,
        references=mentions,
        account_id=account.pk,
        provider=registry.provider(account.provider),
        connection=account.connection(),
        wait_seconds=wait,
    )


def uploads(fakes: FakeServers) -> int:
    return Counter(fakes.gemini.uploads()).total() + Counter(fakes.openai.uploads()).total()


@pytest.fixture
def large(make_file: MakeFile) -> ManagedFile:
    return make_file(LARGE)


async def test_one_id_works_at_two_providers(
    fakes: FakeServers,
    make_file: MakeFile,
    caller: Caller,
    gemini: ProviderAccount,
    openai: ProviderAccount,
) -> None:
    file = await in_thread(make_file, samples.pdf(), "a.pdf")
    at_openai = (await ask(caller, openai, mention(file))).files[file.pk]
    at_gemini = (await ask(caller, gemini, mention(file))).files[file.pk]
    assert isinstance(at_openai, ProviderFile)
    assert at_openai.id.startswith("file-")
    assert at_openai.id != file.pk
    assert at_gemini == InlineFile(samples.pdf(), "application/pdf", "a.pdf")
    assert uploads(fakes) == 1


async def test_a_copy_that_is_there_wins_over_sending_the_bytes(
    fakes: FakeServers, large: ManagedFile, make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    small = await in_thread(make_file, samples.pdf(), account_ids=[gemini.pk])
    await in_thread(sweep_copies)
    resolved = await ask(caller, gemini, mention(small))
    assert isinstance(resolved.files[small.pk], ProviderFile)
    assert resolved.used[0]["delivery"] == "copy"
    assert resolved.used[0]["account_id"] == gemini.pk


async def test_a_picture_goes_inline_where_copies_of_pictures_are_not_read(
    fakes: FakeServers, make_file: MakeFile, caller: Caller, openai: ProviderAccount
) -> None:
    picture = await in_thread(make_file, samples.png(), "a.png", account_ids=[openai.pk])
    await in_thread(sweep_copies)
    resolved = await ask(caller, openai, mention(picture, "image_url"))
    assert resolved.files[picture.pk] == InlineFile(samples.png(), "image/png", "a.png")
    assert resolved.used == [
        {"file_id": picture.pk, "delivery": "inline", "media_type": "image/png", "bytes": len(samples.png())}
    ]


async def test_a_file_mentioned_often_is_resolved_once(
    fakes: FakeServers, large: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    resolved = await ask(caller, gemini, *[mention(large)] * 50)
    assert len(resolved.files) == len(resolved.used) == 1
    assert uploads(fakes) == 1


async def test_fifty_requests_at_once_on_a_cold_account_make_one_copy(
    fakes: FakeServers, large: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    fakes.gemini.fault(path="upload", delay=0.3)
    resolved = await asyncio.gather(*(ask(caller, gemini, mention(large)) for _ in range(50)))
    assert len({str(one.files[large.pk]) for one in resolved}) == 1
    assert uploads(fakes) == 1


def test_processes_that_ask_at_once_make_one_copy(
    fakes: FakeServers, large: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    fakes.gemini.fault(path="upload", delay=0.5)
    running = [cold_account.start(large.pk, gemini.pk, caller.team_id, 12) for _ in range(4)]
    ids = [copy_id for process in running for copy_id in json.loads(process.communicate(timeout=60)[0])]
    assert len(ids) == 48
    assert len(set(ids)) == 1
    assert uploads(fakes) == 1


@pytest.mark.slow
def test_fifty_first_uses_of_a_hundred_megabytes_by_four_processes_make_one_copy(
    fakes: FakeServers, make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    file = make_file(samples.mp4() + bytes(100 << 20), "a.mp4")
    running = [cold_account.start(file.pk, gemini.pk, caller.team_id, 13) for _ in range(4)]
    ids = [copy_id for process in running for copy_id in json.loads(process.communicate(timeout=120)[0])]
    assert len(ids) == 52
    assert len(set(ids)) == 1
    assert uploads(fakes) == 1


async def test_a_neighbours_file_is_no_file(
    fakes: FakeServers, large: ManagedFile, rival_caller: Caller, gemini: ProviderAccount
) -> None:
    unknown = "file-" + "A" * 24
    messages = []
    for value in (large.pk, unknown):
        with pytest.raises(FileNotFound) as caught:
            await ask(rival_caller, gemini, mention(value))
        assert caught.value.param == "messages[0].content[0].file"
        messages.append(caught.value.message.replace(value, "ID"))
        with pytest.raises(FileNotFound):
            await check(caller=rival_caller, references=[mention(value)])
    assert set(messages) == {"No such File object: ID"}
    assert uploads(fakes) == 0


@pytest.mark.parametrize(
    "value",
    [
        "file-abc",
        "assistant-abc",
        "files/abc",
        "gs://bucket/object",
        "https:/x",
        "file:///etc/passwd",
        "..%2f",
        "ftp://x/y",
        "x" * 10_000,
        "\ud800",
    ],
)
async def test_ids_of_others_are_no_files(caller: Caller, gemini: ProviderAccount, value: str) -> None:
    with pytest.raises(FileNotFound) as caught:
        await ask(caller, gemini, mention(value))
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("opened", ["open-bucket", "*"])
async def test_objects_of_an_opened_bucket_are_left_to_the_provider(
    caller: Caller, gemini: ProviderAccount, monkeypatch: pytest.MonkeyPatch, opened: str
) -> None:
    monkeypatch.setattr(settings, "GS_ALLOW", frozenset({opened}))
    resolved = await ask(caller, gemini, mention("gs://open-bucket/report.pdf"))
    assert resolved.files == {}


async def test_opening_one_bucket_opens_no_other(
    caller: Caller, gemini: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "GS_ALLOW", frozenset({"open-bucket"}))
    for value in ("gs://other/report.pdf", "gs://open-bucket", "gs://open-bucket-2/x", "s3://open-bucket/x"):
        with pytest.raises(FileNotFound):
            await ask(caller, gemini, mention(value))


async def test_a_request_that_cannot_wait_is_told_when_to_come_back(
    fakes: FakeServers, large: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    fakes.gemini.fault(path="upload", delay=0.5)
    with pytest.raises(FileNotReady) as caught:
        await ask(caller, gemini, mention(large), wait=0)
    assert caught.value.status == 409
    assert caught.value.retry_after
    resolved = await ask(caller, gemini, mention(large))
    assert isinstance(resolved.files[large.pk], ProviderFile)
    assert uploads(fakes) == 1, "the work went on without the request"


async def test_what_another_worker_does_is_awaited(
    fakes: FakeServers, large: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    copy = await ProviderFileMapping.objects.acreate(file=large, account=gemini, purpose="user_data")
    lease = await in_thread(leases.take, copy.pk)
    assert lease is not None
    waiting = asyncio.create_task(ask(caller, gemini, mention(large)))
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    await in_thread(
        lease.release, state="active", provider_file_id="files/x", uri="https://x/files/x", uploads=1
    )
    shown = (await waiting).files[large.pk]
    assert isinstance(shown, ProviderFile)
    assert shown.uri == "https://x/files/x"
    assert uploads(fakes) == 0


async def test_a_passing_failure_is_overcome_while_the_request_waits(
    fakes: FakeServers, large: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    fakes.gemini.fault(path="upload", status=500, times=1)
    resolved = await ask(caller, gemini, mention(large))
    assert isinstance(resolved.files[large.pk], ProviderFile)


async def test_a_failed_copy_is_told_with_the_providers_reason_and_tried_again_later(
    fakes: FakeServers, make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    fakes.gemini.settings(failing_types=["video/mp4"])
    film = await in_thread(make_file, samples.mp4() + bytes(16 << 20), "a.mp4")
    for _ in range(2):
        with pytest.raises(FileFailed) as caught:
            await ask(caller, gemini, mention(film))
        assert caught.value.status == 422
    assert uploads(fakes) == 1, "a fresh failure is not repeated at once"
    fakes.gemini.settings(failing_types=[])
    await ProviderFileMapping.objects.aupdate(next_attempt_at=timezone.now() - timedelta(seconds=1))
    assert isinstance((await ask(caller, gemini, mention(film))).files[film.pk], ProviderFile)


async def test_a_copy_that_the_provider_lost_is_made_again_once(
    fakes: FakeServers, large: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    first = await ask(caller, gemini, mention(large))
    for _ in range(5):
        await forget([large.pk], gemini.pk, used=first.used)
        again = await ask(caller, gemini, mention(large))
    assert str(again.files[large.pk]) != str(first.files[large.pk])
    assert uploads(fakes) == 2
    left = [row for row in fakes.gemini.files() if not row["gone"]]
    assert len(left) == 1, "the earlier copy is removed"


async def test_forgetting_without_saying_which_copy_concerns_the_current_one(
    fakes: FakeServers, large: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    await ask(caller, gemini, mention(large))
    assert await check(caller=caller, references=[mention(large)]) == {gemini.pk: 1}
    await forget([large.pk], gemini.pk)
    assert await check(caller=caller, references=[mention(large)]) == {}
    await ask(caller, gemini, mention(large))
    assert uploads(fakes) == 2


async def test_a_copy_past_its_date_is_made_again(
    fakes: FakeServers, large: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    await ask(caller, gemini, mention(large))
    ends = timezone.now() + timedelta(minutes=30)
    await ProviderFileMapping.objects.aupdate(expires_at=ends, ready_at=ends - timedelta(hours=48))
    await ask(caller, gemini, mention(large))
    assert uploads(fakes) == 2


async def test_the_use_of_a_copy_is_noted_once_a_minute(
    fakes: FakeServers, large: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    for _ in range(2):
        await ask(caller, gemini, mention(large))
    first = (await ProviderFileMapping.objects.aget()).last_used_at
    assert first is not None
    await ask(caller, gemini, mention(large))
    assert (await ProviderFileMapping.objects.aget()).last_used_at == first


async def test_a_type_that_the_provider_cannot_read_is_refused_by_name(
    fakes: FakeServers, make_file: MakeFile, caller: Caller, openai: ProviderAccount
) -> None:
    film = await in_thread(make_file, samples.mp4(), "a.mp4")
    with pytest.raises(UnsupportedFile, match="video/mp4") as caught:
        await ask(caller, openai, mention(film))
    assert caught.value.param == "messages[0].content[0].file"
    assert uploads(fakes) == 0


async def test_changed_bytes_are_never_shown(
    make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    file = await in_thread(make_file, b"the truth", "a.txt")
    (FOLDER / file.blob).write_bytes(b"the t uth")
    with pytest.raises(FileCorrupt):
        await ask(caller, gemini, mention(file))


async def test_a_file_without_a_known_type_is_what_the_request_says(
    make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    file = await in_thread(make_file, bytes(range(256)), "blob")
    with pytest.raises(UnsupportedFile):
        await ask(caller, gemini, mention(file))
    said = replace(mention(file), media_type="image/png")
    shown = (await ask(caller, gemini, said)).files[file.pk]
    assert shown == InlineFile(bytes(range(256)), "image/png", "blob")


@pytest.fixture
def web() -> Iterator[str]:
    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = samples.png() if self.path != "/large" else bytes(21 << 20)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - inherited
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is what some tests are about."""

    with Server(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_addresses_are_fetched_only_where_the_operator_allows(
    caller: Caller, gemini: ProviderAccount, web: str, settings: Any
) -> None:
    address = f"http://{web}/a.png"
    with pytest.raises(InvalidRequest) as caught:
        await ask(caller, gemini, mention(address, "image_url"))
    assert caught.value.param == "messages[0].content[0].image_url"
    settings.FETCH_ALLOW = web
    resolved = await ask(caller, gemini, mention(address, "image_url"))
    assert resolved.files[address] == InlineFile(samples.png(), "image/png", "a.png")
    with pytest.raises(TooLarge):
        await ask(caller, gemini, mention(f"http://{web}/large", "image_url"))


async def test_addresses_that_the_provider_fetches_itself_are_left_to_it(
    caller: Caller, openai: ProviderAccount
) -> None:
    resolved = await ask(caller, openai, mention("https://example.invalid/a.png", "image_url"))
    assert resolved.files == {}


def test_the_cache_of_small_files_is_bounded() -> None:
    cache = inline.Cache(100)
    for number in range(10):
        cache.put(str(number), bytes(30))
    assert [number for number in range(10) if cache.get(str(number)) is not None] == [7, 8, 9]
    cache.put("huge", bytes(101))
    assert cache.get("huge") is None


async def test_no_reference_costs_no_time(caller: Caller, gemini: ProviderAccount) -> None:
    began = time.perf_counter()
    assert await ask(caller, gemini) == Resolved({}, [])
    assert time.perf_counter() - began < 0.5
