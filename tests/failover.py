"""The first provider of a model is killed under load; the second, healthy, has to take over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.chaos import MASTER
from tests.fakes.server import FakeServers
from tests.product import Product
from tests.servers import postgres

ROWS = "SELECT tags, status, provider FROM portal_usagerecord"
IDLE_SECONDS = 15


@dataclass
class Outcome:
    """What callers saw of `calls` calls, and what the ledger holds."""

    calls: int
    seconds: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    """By the call's tag."""
    served_by: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        return self.seen["answered"] / self.calls

    def summary(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "seconds": round(self.seconds, 1),
            "succeeded": f"{self.share:.4%}",
            "callers saw": dict(self.seen.most_common()),
            "served by": dict(self.served_by.most_common()),
            "ledger rows": sum(self.rows.values()),
            "calls doubled": sum(count > 1 for count in self.rows.values()),
        }


@contextmanager
def running(folder: Path, workers: int) -> Iterator[tuple[Product, FakeServers, str]]:
    """The product with one model on two providers, each a process; the first provider, and the database."""
    with ExitStack() as exits:
        first, second = (exits.enter_context(FakeServers(process=True)) for _ in range(2))
        database = exits.enter_context(postgres())

        def entry(model: str, base: str, key: str, order: int) -> dict[str, Any]:
            params = {"model": model, "api_base": base, "api_key": key, "order": order}
            return {"model_name": "safe", "litellm_params": params}

        path = folder / "config.yaml"
        config = {
            "model_list": [
                entry("gemini/gemini-3.5-flash", first.gemini_url, "os.environ/GEMINI_API_KEY", 1),
                entry("openai/gpt-5.4", second.openai_url, "sk-fake-second-0123456789", 2),
            ],
            "general_settings": {"master_key": MASTER},
        }
        path.write_text(json.dumps(config))
        environment = {"DATABASE_URL": database, "GEMINI_API_KEY": "AIza-first-0123456789abcdef"}
        product = Product(folder, config=path, workers=workers, environment=environment)
        yield exits.enter_context(product), first, database


async def fail_over(
    product: Product, first: FakeServers, database: str, calls: int, at_once: int = 16
) -> Outcome:
    """Half of the calls refer to a file, half are streamed; after a third the first provider is killed."""
    outcome = Outcome(calls)
    headers = {"authorization": f"Bearer {MASTER}"}
    limits = httpx.Limits(max_connections=at_once)
    async with httpx.AsyncClient(
        base_url=product.url, headers=headers, limits=limits, timeout=60, trust_env=False
    ) as client:
        upload = {"file": ("notes.pdf", b"%PDF-1.4\n" + b"x" * 40_000 + b"\n%%EOF", "application/pdf")}
        file_id = (await client.post("/v1/files", data={"purpose": "user_data"}, files=upload)).json()["id"]
        numbers = iter(range(calls))
        began = time.monotonic()

        async def caller() -> None:
            for number in numbers:
                if number == calls // 3:
                    assert first.pid is not None
                    os.kill(first.pid, signal.SIGKILL)
                outcome.seen[await _call(client, number, file_id)] += 1

        await asyncio.gather(*(caller() for _ in range(at_once)))
        outcome.seconds = time.monotonic() - began
    await _read_ledger(database, outcome)
    return outcome


async def _call(client: httpx.AsyncClient, number: int, file_id: str) -> str:
    content: list[dict[str, Any]] = [{"type": "text", "text": f"This is call number {number}."}]
    if number % 2:
        content.append({"type": "file", "file": {"file_id": file_id}})
    body = {
        "model": "safe",
        "messages": [{"role": "user", "content": content}],
        "metadata": {"tags": [f"call-{number}"]},
        "stream": number % 4 < 2,
    }
    try:
        answer = await client.post("/v1/chat/completions", json=body)
    except httpx.RemoteProtocolError:
        # How a stream ends that fails once it has begun.
        return "stream broken off" if body["stream"] else "broken off"
    except httpx.HTTPError as error:
        return f"broken off: {type(error).__name__}"
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.json()['error']['code']}"
    if body["stream"] and not answer.text.rstrip().endswith("data: [DONE]"):
        return "stream broken off"
    return "answered"


async def _read_ledger(database: str, outcome: Outcome) -> None:
    deadline = time.monotonic() + IDLE_SECONDS
    while True:
        with psycopg.connect(database) as connection:
            rows = connection.execute(ROWS).fetchall()
        outcome.rows = Counter(tag for tags, _, _ in rows for tag in tags)
        outcome.served_by = Counter(provider for tags, status, provider in rows if tags and status == 200)
        if len(outcome.rows) == outcome.calls or time.monotonic() > deadline:
            return
        await asyncio.sleep(0.25)
