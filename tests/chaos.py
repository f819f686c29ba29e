"""Mixed calls while callers leave, providers fail and web processes are killed; then the books compared."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.fakes.server import FakeServers
from tests.product import Product
from tests.servers import postgres, valkey

MASTER = "sk-master-of-the-chaos"
NUMBER = re.compile(r"call number (\d+)\.")
ROWS = "SELECT tags, status, error_code, is_estimated, input_tokens, output_tokens FROM portal_usagerecord"
RESERVED = "SELECT coalesce(sum(reserved), 0) FROM portal_budgetwindow"
OPEN = "SELECT count(*) FROM portal_reservation"
IDLE_SECONDS = 30
LEFT = 499


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens."""

    calls: int
    at_once: int = 32
    workers: int = 4
    disconnects: float = 0.1
    fails_every: int = 20
    """Of the requests to the providers each n-th fails, in one way or another."""
    kill_every: float = 20.0
    """Seconds between two web processes killed."""
    seed: int = 1


@dataclass
class Books:
    """What came of it. `rows`: the ledger's by the call's number; `reported`: what the fakes told of each."""

    seconds: float = 0.0
    killed: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    answered: dict[int, list[int]] = field(default_factory=dict)
    """Input and output tokens that the caller was told, by the call's number."""
    rows: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    reported: dict[int, list[list[int] | None]] = field(default_factory=dict)
    reserved: float = 0.0
    reservations: int = 0

    @property
    def doubled(self) -> list[int]:
        return [number for number, rows in self.rows.items() if len(rows) > 1]

    @property
    def missing(self) -> list[int]:
        """Calls that a provider or a caller knows of and the ledger does not."""
        return sorted((self.reported.keys() | self.answered.keys()) - self.rows.keys())

    @property
    def estimated(self) -> int:
        return sum(row["is_estimated"] for rows in self.rows.values() for row in rows)

    @property
    def counted(self) -> list[tuple[int, dict[str, Any]]]:
        """Rows of calls whose answer came to its end."""
        every = ((number, row) for number, rows in self.rows.items() for row in rows)
        return [(number, row) for number, row in every if row["status"] == 200 and not row["is_estimated"]]

    def differences(self) -> list[str]:
        """Rows that say another number of tokens than the provider or the caller heard."""
        found = []
        for number, row in self.counted:
            said = [row["input_tokens"], row["output_tokens"]]
            if said not in self.reported.get(number, []):
                found.append(f"{number}: ledger {said}, provider {self.reported.get(number)}")
            if number in self.answered and self.answered[number] != said:
                found.append(f"{number}: ledger {said}, caller {self.answered[number]}")
        lost = self.answered.keys() - {number for number, _ in self.counted}
        return found + [f"{number}: answered in full, {self.rows.get(number)}" for number in sorted(lost)]

    def tokens(self) -> tuple[int, int]:
        """Of the counted calls: by the ledger, and by the providers."""
        ledger = sum(row["input_tokens"] + row["output_tokens"] for _, row in self.counted)
        told = (self.reported.get(number, ()) for number, _ in self.counted)
        providers = sum(sum([each for each in tries if each][-1]) for tries in told if any(tries))
        return ledger, providers

    def summary(self) -> dict[str, Any]:
        ledger, providers = self.tokens()
        return {
            "seconds": round(self.seconds, 1),
            "web processes killed": self.killed,
            "callers saw": dict(self.seen.most_common()),
            "ledger rows": sum(map(len, self.rows.values())),
            "rows marked as estimates": self.estimated,
            "tokens of answered calls, ledger": ledger,
            "tokens of answered calls, providers": providers,
            "calls missing": len(self.missing),
            "calls doubled": len(self.doubled),
            "differences": len(self.differences()),
            "dollars still reserved": self.reserved,
        }


@contextmanager
def running(folder: Path, plan: Plan) -> Iterator[tuple[Product, FakeServers, str]]:
    """The product on PostgreSQL and Valkey; its database's address last."""
    with ExitStack() as exits:
        fakes = exits.enter_context(FakeServers(process=True))
        database = exits.enter_context(postgres())
        redis = exits.enter_context(valkey())
        path = folder / "config.yaml"
        path.write_text(json.dumps(_config(fakes)))
        environment = {
            "DATABASE_URL": database,
            "REDIS_URL": f"{redis}/0",
            "GEMINI_API_KEY": "AIza-chaos-0123456789abcdef",
            "STORAGE_EMULATOR_HOST": fakes.vertex_url,
            "PORTICO_LOG_LEVEL": "WARNING",
        }
        product = Product(folder, config=path, workers=plan.workers, environment=environment)
        yield exits.enter_context(product), fakes, database


def _config(fakes: FakeServers) -> dict[str, Any]:
    prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}

    def entry(name: str, model: str, base: str, key: str, **more: Any) -> dict[str, Any]:
        return {
            "model_name": name,
            "litellm_params": {"model": model, "api_base": base, "api_key": key, **prices, **more},
        }

    google, openai = "os.environ/GEMINI_API_KEY", "sk-fake-chaos-0123456789"
    return {
        "model_list": [
            entry("google", "gemini/gemini-3.5-flash", fakes.gemini_url, google),
            entry("openai", "openai/gpt-5.4", fakes.openai_url, openai),
            entry("azure", "azure/docs", fakes.azure_url, "az-fake-chaos-0123456789"),
            entry("both", "gemini/gemini-3.5-flash", fakes.gemini_url, google),
            entry("both", "openai/gpt-5.4", fakes.openai_url, openai),
            entry("vectors", "openai/text-embedding-3-small", fakes.openai_url, openai),
        ],
        "router_settings": {"allowed_fails": 1000},
        "general_settings": {"master_key": MASTER},
    }


async def wreak(product: Product, fakes: FakeServers, database: str, plan: Plan) -> Books:
    """Carries the plan out and waits until nothing is in flight."""
    books = Books()
    chance = random.Random(plan.seed)
    headers = {"authorization": f"Bearer {MASTER}"}
    limits = httpx.Limits(max_connections=plan.at_once * 2, max_keepalive_connections=plan.at_once)
    async with httpx.AsyncClient(
        base_url=product.url, headers=headers, limits=limits, timeout=60, trust_env=False
    ) as client:
        made = await client.post("/key/generate", json={"max_budget": 1000.0, "key_alias": "chaos"})
        client.headers["authorization"] = f"Bearer {made.json()['key']}"
        upload = {"file": ("notes.pdf", b"%PDF-1.4\n" + b"x" * 40_000 + b"\n%%EOF", "application/pdf")}
        uploaded = await client.post("/v1/files", data={"purpose": "user_data"}, files=upload)
        assert uploaded.status_code == 200, uploaded.text
        file_id = uploaded.json()["id"]
        _order_faults(fakes, plan)
        began = time.monotonic()
        killer = asyncio.create_task(_kill(product, plan, chance, books))
        numbers = iter(range(plan.calls))
        orders = random.Random(plan.seed + 1)

        async def caller() -> None:
            for number in numbers:
                await _call(client, number, file_id, orders, plan, books)

        await asyncio.gather(*(caller() for _ in range(plan.at_once)))
        killer.cancel()
        with suppress(asyncio.CancelledError):
            await killer
        books.seconds = time.monotonic() - began
    received = []
    for fake in (fakes.gemini, fakes.openai, fakes.azure):
        fake.clear_faults()
        received += fake.requests(method="POST")
    for request in sorted(received, key=lambda each: float(each["time"])):
        if number := NUMBER.search(json.dumps(request["body"])):
            books.reported.setdefault(int(number[1]), []).append(request["reported"])
    await _read_ledger(database, books)
    return books


def _order_faults(fakes: FakeServers, plan: Plan) -> None:
    kinds: list[dict[str, Any]] = [
        {"status": 503},
        {"status": 429, "retry_after": 0.2},
        {"reset": "before"},
        {"reset": "reply"},
        {"cut_after": 2},
    ]
    for fake in (fakes.gemini, fakes.openai, fakes.azure):
        for kind in kinds:
            fake.fault(path="omplet|enerate|embed", every=plan.fails_every * len(kinds), times=-1, **kind)


async def _call(
    client: httpx.AsyncClient, number: int, file_id: str, chance: random.Random, plan: Plan, books: Books
) -> None:
    kind = chance.choices(("whole", "stream", "file", "vector"), (4, 4, 1, 1))[0]
    leaves_after = chance.uniform(0.0, 0.15) if chance.random() < plan.disconnects else None
    text = f"This is call number {number}. @long {chance.randrange(50, 1500)} @slow {chance.randrange(0, 8)}"
    body: dict[str, Any] = {"metadata": {"tags": [f"call-{number}"]}}
    if kind == "vector":
        path, body = "/v1/embeddings", {**body, "model": "vectors", "input": text}
    else:
        path, body["model"] = "/v1/chat/completions", chance.choice(("google", "openai", "azure", "both"))
        content: Any = text
        if kind == "file":
            content = [{"type": "text", "text": text}, {"type": "file", "file": {"file_id": file_id}}]
        body["messages"] = [{"role": "user", "content": content}]
        if kind == "stream":
            body |= {"stream": True, "stream_options": {"include_usage": True}}
    try:
        async with asyncio.timeout(leaves_after):
            usage, seen = await (_streamed if kind == "stream" else _whole)(client, path, body)
    except TimeoutError:
        usage, seen = None, "left"
    except httpx.HTTPError:
        usage, seen = None, "broken connection"
    books.seen[seen] += 1
    if usage is not None:
        books.answered[number] = [usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0]


async def _whole(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> tuple[dict[str, Any] | None, str]:
    answer = await client.post(path, json=body)
    if answer.status_code != 200:
        return None, f"{answer.status_code} {answer.json()['error']['code']}"
    return answer.json()["usage"], "answered"


async def _streamed(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> tuple[dict[str, Any] | None, str]:
    usage, has_ended = None, False
    async with client.stream("POST", path, json=body) as answer:
        if answer.status_code != 200:
            return None, f"{answer.status_code} {json.loads(await answer.aread())['error']['code']}"
        async for line in answer.aiter_lines():
            if not line.startswith("data: "):
                continue
            if line == "data: [DONE]":
                has_ended = True
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                return None, f"stream ended with {chunk['error']['code']}"
            usage = chunk.get("usage") or usage
    return (usage, "answered") if has_ended else (None, "broken stream")


async def _kill(product: Product, plan: Plan, chance: random.Random, books: Books) -> None:
    while True:
        await asyncio.sleep(plan.kill_every)
        if found := web_processes(product):
            os.kill(chance.choice(found), signal.SIGKILL)
            books.killed += 1


def web_processes(product: Product) -> list[int]:
    """The processes that serve requests: those that hold a journal of calls open."""
    folder = str(product.data_dir / "journal")
    found = []
    for pid in product.children():
        with suppress(OSError):
            if any(str(each.readlink()).startswith(folder) for each in Path(f"/proc/{pid}/fd").iterdir()):
                found.append(pid)
    return found


async def _read_ledger(database: str, books: Books) -> None:
    deadline = time.monotonic() + IDLE_SECONDS
    wanted = books.reported.keys() | books.answered.keys()
    while True:
        with psycopg.connect(database) as connection:
            rows = connection.execute(ROWS).fetchall()
            totals = connection.execute(RESERVED).fetchone()
            open_ones = connection.execute(OPEN).fetchone()
        books.rows = {}
        for tags, status, code, is_estimated, asked, said in rows:
            row = {
                "status": status,
                "code": code,
                "is_estimated": is_estimated,
                "input_tokens": asked,
                "output_tokens": said,
            }
            for tag in tags:
                if tag.startswith("call-"):
                    books.rows.setdefault(int(tag[5:]), []).append(row)
        books.reserved = float(totals[0]) if totals else 0.0
        books.reservations = int(open_ones[0]) if open_ones else 0
        is_idle = not books.reservations and wanted <= books.rows.keys()
        if is_idle or time.monotonic() >= deadline:
            return
        await asyncio.sleep(0.25)
