"""The cache of access tokens: one refresh at a time, ahead of the end, for threads and loops alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from providers import tokens
from providers.errors import UpstreamRefusedCredentials, UpstreamUnavailable
from providers.http import AsyncClient, SyncClient
from providers.tokens import TokenCache
from providers.types import HttpRequest, HttpResponse, Token, TokenSource
from tests.providers.conftest import Answer, Upstream, http, until

Send = Callable[[HttpRequest], HttpResponse]


class Issuer:
    """Gives out t1, t2 … for an hour each; `gate` holds a refresh up, `failure` makes it fail."""

    def __init__(self, now: float = 0.0, life: float = 3600.0) -> None:
        self.now, self.life = now, life
        self.given = 0
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.source = TokenSource("issuer", self.fetch)
        self.cache = TokenCache(clock=lambda: self.now)

    def fetch(self, send: Send) -> Token:
        assert self.gate.wait(5)
        if self.failure is not None:
            raise self.failure
        self.given += 1
        return Token(f"t{self.given}", self.now + self.life)

    def get(self) -> str:
        return self.cache.get(self.source, no_sending).value

    def is_idle(self) -> bool:
        return not self.cache._flights


def no_sending(request: HttpRequest) -> HttpResponse:
    raise AssertionError("nothing is sent here")


def test_a_token_is_fetched_once_and_kept() -> None:
    issuer = Issuer()
    assert [issuer.get() for _ in range(3)] == ["t1", "t1", "t1"]
    issuer.now = 3600 - 226
    assert issuer.get() == "t1"
    assert issuer.given == 1


def test_it_is_replaced_225_seconds_before_its_end_while_the_old_one_still_serves() -> None:
    issuer = Issuer()
    assert issuer.get() == "t1"
    issuer.now = 3600 - 224
    issuer.gate.clear()
    assert issuer.get() == "t1"
    issuer.gate.set()
    assert until(lambda: issuer.given == 2 and issuer.is_idle())
    assert issuer.get() == "t2"


def test_at_its_end_everybody_waits_for_the_new_one() -> None:
    issuer = Issuer()
    issuer.get()
    issuer.now = 3595
    assert issuer.get() == "t2"


def test_a_token_of_a_short_life_is_replaced_at_half_of_it() -> None:
    issuer = Issuer(life=100)
    issuer.get()
    issuer.now = 49
    issuer.get()
    assert issuer.given == 1
    issuer.now = 51
    issuer.get()
    assert until(lambda: issuer.given == 2)


def test_fifty_threads_and_fifty_coroutines_share_one_refresh() -> None:
    issuer = Issuer()
    issuer.gate.clear()

    async def many() -> set[str]:
        waits = [issuer.cache.wait(issuer.source, no_sending) for _ in range(50)]
        return {token.value for token in await asyncio.gather(*waits)}

    with ThreadPoolExecutor(51) as threads:
        jobs = [threads.submit(issuer.get) for _ in range(50)]
        loop = threads.submit(lambda: asyncio.run(many()))
        issuer.gate.set()
        assert {job.result(5) for job in jobs} | loop.result(5) == {"t1"}
    assert issuer.given == 1


async def test_a_caller_who_leaves_does_not_take_the_token_away() -> None:
    issuer = Issuer()
    issuer.gate.clear()
    first = asyncio.ensure_future(issuer.cache.wait(issuer.source, no_sending))
    second = asyncio.ensure_future(issuer.cache.wait(issuer.source, no_sending))
    await asyncio.sleep(0)
    first.cancel()
    issuer.gate.set()
    assert (await second).value == "t1"
    assert issuer.given == 1


def test_a_failed_replacement_is_not_told_while_the_old_one_is_good() -> None:
    issuer = Issuer()
    issuer.get()
    issuer.failure = UpstreamUnavailable("away")
    issuer.now = 3500
    assert issuer.get() == "t1"
    assert until(issuer.is_idle)
    assert issuer.get() == "t1"
    issuer.now = 3595
    with pytest.raises(UpstreamUnavailable):
        issuer.get()
    issuer.failure = None
    assert issuer.get() == "t2"


def test_each_who_waited_gets_a_failure_of_his_own() -> None:
    issuer = Issuer()
    issuer.failure = UpstreamRefusedCredentials("no", provider_message="invalid_grant")
    issuer.gate.clear()

    def fail() -> UpstreamRefusedCredentials:
        with pytest.raises(UpstreamRefusedCredentials) as failed:
            issuer.get()
        failed.value.headers["x"] = str(id(failed.value))
        return failed.value

    with ThreadPoolExecutor(2) as threads:
        jobs = [threads.submit(fail) for _ in range(2)]
        issuer.gate.set()
        first, second = (job.result(5) for job in jobs)
    assert first is not second
    assert first.headers != second.headers
    assert first.provider_message == "invalid_grant"


def test_dropping_an_old_token_leaves_a_newer_one() -> None:
    issuer = Issuer()
    old = issuer.cache.get(issuer.source, no_sending)
    issuer.cache.drop(issuer.source, old)
    assert issuer.get() == "t2"
    issuer.cache.drop(issuer.source, old)
    assert issuer.get() == "t2"


def test_no_token_shows_in_what_is_printed() -> None:
    issuer = Issuer()
    token = issuer.cache.get(issuer.source, no_sending)
    request = HttpRequest("GET", "http://x", bearer=issuer.source)
    signed = tokens.signed(request, token)
    assert signed.headers["authorization"] == "Bearer t1"
    assert "t1" not in repr(token) + repr(signed) + repr(request)


def refusing(*refused: str) -> Answer:
    def answer(received, connection) -> None:
        status = 401 if received.headers.get("authorization") in refused else 200
        connection.sendall(http(status, received.body))

    return answer


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Issuer:
    issuer = Issuer()
    monkeypatch.setattr(tokens, "cache", issuer.cache)
    return issuer


def test_a_refused_token_is_replaced_and_the_request_sent_once_more(
    upstream: Callable[[Answer], Upstream], own_cache: Issuer
) -> None:
    server = upstream(refusing("Bearer t1"))
    request = HttpRequest("POST", server.url, body=b"hello", bearer=own_cache.source)
    with SyncClient() as client:
        assert client.send(request) == client.send(request)
    assert [r.headers["authorization"] for r in server.received] == ["Bearer t1", "Bearer t2", "Bearer t2"]
    assert {r.body for r in server.received} == {b"hello"}


async def test_the_same_from_the_event_loop_and_in_a_stream(
    upstream: Callable[[Answer], Upstream], own_cache: Issuer
) -> None:
    server = upstream(refusing("Bearer t1"))
    request = HttpRequest("POST", server.url, body=b"hello", bearer=own_cache.source)
    async with AsyncClient() as client, client.stream(request) as stream:
        assert stream.status == 200
        assert (await stream.read()).body == b"hello"
    assert [r.headers["authorization"] for r in server.received] == ["Bearer t1", "Bearer t2"]


def test_a_second_refusal_is_the_answer(upstream: Callable[[Answer], Upstream], own_cache: Issuer) -> None:
    server = upstream(refusing("Bearer t1", "Bearer t2"))
    with SyncClient() as client:
        assert client.send(HttpRequest("GET", server.url, bearer=own_cache.source)).status == 401
    assert len(server.received) == 2
