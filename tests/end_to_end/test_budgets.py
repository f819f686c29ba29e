"""Budgets and limits of the whole product: four web processes, 200 callers at once, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import config
from tests.end_to_end.test_main_job import eventually
from tests.fakes.server import FakeServers
from tests.product import Product
from tests.servers import needs_linux, postgres, valkey

pytestmark = [pytest.mark.xdist_group("budgets"), needs_linux]

MASTER = {"authorization": "Bearer sk-master-of-the-tests"}
WORKERS = 4
AT_ONCE = 200
PAID = 50
ASKED = {"model": "priced", "messages": [{"role": "user", "content": "Count me exactly once, please."}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeServers]:
    with FakeServers(process=True) as servers:
        yield servers


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def product(
    request: pytest.FixtureRequest, upstream: FakeServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    data_dir: Path = tmp_path_factory.mktemp(f"budgets-{request.param}")
    path = data_dir / "config.yaml"
    whole = json.loads(config(upstream))
    priced = {
        "model": "openai/gpt-5.4",
        "api_base": upstream.openai_url,
        "api_key": "sk-fake-main-0123456789",
        "input_cost_per_token": 0.0001,
        "output_cost_per_token": 0.0003,
    }
    whole["model_list"].append({"model_name": "priced", "litellm_params": priced})
    path.write_text(json.dumps(whole))
    environment = {"GEMINI_API_KEY": "AIza-budgets-0123456789abcdef"}
    with ExitStack() as servers:
        if request.param == "postgres":
            environment["DATABASE_URL"] = servers.enter_context(postgres())
            environment["REDIS_URL"] = f"{servers.enter_context(valkey())}/0"
        with Product(data_dir, config=path, workers=WORKERS, environment=environment) as running:
            yield running


def manage(product: Product, path: str, **body: Any) -> dict[str, Any]:
    answer = httpx.post(f"{product.url}{path}", json=body, headers=MASTER, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def key_info(product: Product, secret: str) -> dict[str, Any]:
    answer = httpx.get(
        f"{product.url}/key/info", params={"key": secret}, headers=MASTER, timeout=30, trust_env=False
    )
    found: dict[str, Any] = answer.json()["info"]
    return found


async def ask_at_once(product: Product, secret: str, count: int, **more: Any) -> list[httpx.Response]:
    """Every caller has a connection of its own, so that all workers are asked."""
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(
        base_url=product.url,
        headers={"authorization": f"Bearer {secret}"},
        limits=limits,
        timeout=120,
        trust_env=False,
    ) as client:
        calls = (client.post("/v1/chat/completions", json={**ASKED, **more}) for _ in range(count))
        return list(await asyncio.gather(*calls))


async def cost_of_one(product: Product, **more: Any) -> Decimal:
    secret = manage(product, "/key/generate")["key"]
    (answer,) = await ask_at_once(product, secret, 1, **more)
    assert answer.status_code == 200, answer.text
    return Decimal(answer.headers["x-litellm-response-cost"])


@pytest.mark.parametrize("bound", [{"max_completion_tokens": 20}, {}], ids=["bounded", "unbounded"])
async def test_exactly_what_the_budget_pays_for_is_admitted(product: Product, bound: dict[str, int]) -> None:
    cost = await cost_of_one(product, **bound)
    budget = cost * PAID
    made = manage(product, "/key/generate", max_budget=str(budget))
    answers = await ask_at_once(product, made["key"], AT_ONCE, **bound)
    statuses = Counter(answer.status_code for answer in answers)
    codes = {answer.json()["error"]["code"] for answer in answers if answer.status_code != 200}
    assert statuses == {200: PAID, 429: AT_ONCE - PAID}, (statuses, codes)
    assert codes == {"budget_exceeded"}
    assert eventually(lambda: key_info(product, made["key"])["budget_reserved"] == 0, seconds=5)
    info = key_info(product, made["key"])
    assert Decimal(str(info["budget_spend"])) == budget
    assert abs(Decimal(str(info["spend"])) - budget) < Decimal("1e-9")


async def test_a_teams_budget_bounds_all_its_keys(product: Product) -> None:
    cost = await cost_of_one(product, max_completion_tokens=20)
    team = manage(product, "/team/new", max_budget=str(cost * 10))["team_id"]
    secrets = [manage(product, "/key/generate", team_id=team)["key"] for _ in range(4)]
    found = await asyncio.gather(
        *(ask_at_once(product, secret, 10, max_completion_tokens=20) for secret in secrets)
    )
    assert sum(answer.status_code == 200 for answers in found for answer in answers) == 10


async def test_requests_per_minute_hold_for_all_workers_together_where_they_share(
    product: Product,
) -> None:
    is_shared = "REDIS_URL" in product.environment
    made = manage(product, "/key/generate", rpm_limit=30)
    answers = await ask_at_once(product, made["key"], 100)
    admitted = sum(answer.status_code == 200 for answer in answers)
    # Without Redis every worker counts for itself.
    assert admitted == 30 if is_shared else 30 <= admitted <= 30 * WORKERS
    assert {answer.status_code for answer in answers} <= {200, 429}
    if admitted == len(answers):
        return
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-limit-requests"] == "30"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
