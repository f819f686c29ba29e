"""The same product on PostgreSQL and Valkey, with several web processes, as a larger installation runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import psycopg
import pytest

from tests.end_to_end.conftest import GEMINI, GPT, client_for, config
from tests.end_to_end.test_main_job import eventually, is_gone, question
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.product import Product
from tests.servers import needs_linux, postgres, valkey

pytestmark = [pytest.mark.xdist_group("larger"), needs_linux]

WORKERS = 3
AT_ONCE = 24


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeServers]:
    with FakeServers(process=True) as servers:
        yield servers


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as address:
        yield address


@pytest.fixture(scope="module")
def large(
    upstream: FakeServers, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    data_dir: Path = tmp_path_factory.mktemp("larger")
    path = data_dir / "config.yaml"
    path.write_text(config(upstream))
    with valkey() as broker:
        environment = {
            "DATABASE_URL": database,
            "CELERY_BROKER_URL": f"{broker}/0",
            "REDIS_URL": f"{broker}/1",
            "GEMINI_API_KEY": "AIza-larger-0123456789abcdef",
        }
        with Product(data_dir, config=path, workers=WORKERS, environment=environment) as product:
            yield product


def test_one_id_serves_both_providers_and_goes_away_everywhere(large: Product, upstream: FakeServers) -> None:
    data = samples.pdf("A larger installation")
    sha = hashlib.sha256(data).hexdigest()
    with client_for(large, large.create_key("larger")) as client:
        made = client.files.create(
            file=("large.pdf", data),
            purpose="user_data",
            extra_body={"target_model_names": f"{GEMINI}, {GPT}"},
        )
        for model in (GEMINI, GPT):
            answer = client.chat.completions.create(model=model, messages=question(made.id))
            assert sha in (answer.choices[0].message.content or "")
        assert client.files.content(made.id).content == data
        assert client.files.delete(made.id).deleted
    for control in (upstream.gemini, upstream.openai):
        assert any(file["sha256"] == sha for file in control.files())
        assert eventually(partial(is_gone, control, sha))


def test_many_first_uses_at_once_make_one_copy(large: Product, upstream: FakeServers) -> None:
    data = samples.pdf("Wanted by many")
    sha = hashlib.sha256(data).hexdigest()
    with client_for(large, large.create_key("crowd")) as client:
        file_id = client.files.create(file=("crowd.pdf", data), purpose="user_data").id

        def ask(number: int) -> str:
            answer = client.chat.completions.create(model=GPT, messages=question(file_id))
            return answer.choices[0].message.content or ""

        with ThreadPoolExecutor(AT_ONCE) as threads:
            answers = list(threads.map(ask, range(AT_ONCE)))
    assert all(sha in answer for answer in answers)
    copies = [file for file in upstream.openai.files() if file["sha256"] == sha]
    assert len(copies) == 1


def manage(product: Product, path: str, **body: Any) -> dict[str, Any]:
    headers = {"authorization": "Bearer sk-master-of-the-tests"}
    answer = httpx.post(f"{product.url}{path}", json=body, headers=headers, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def status_of(client: openai.OpenAI, model: str) -> int:
    try:
        client.models.retrieve(model)
    except openai.APIStatusError as error:
        return error.status_code
    return 200


NEW_MODEL = {
    "model_name": "of-the-moment",
    "litellm_params": {"model": "openai/gpt-5.4", "api_key": "sk-fake-later-0123456789"},
}


@pytest.mark.parametrize(
    ("path", "change", "model", "before", "after"),
    [
        ("/key/block", {}, GPT, 200, 401),
        ("/key/update", {"duration": "1s"}, GPT, 200, 401),
        ("/key/update", {"models": [GEMINI]}, GPT, 200, 404),
        ("/key/delete", {}, GPT, 200, 401),
        ("/model/new", NEW_MODEL, "of-the-moment", 404, 200),
    ],
    ids=["block", "expiry", "models of a key", "delete", "a new model"],
)
def test_a_change_holds_on_every_worker_within_a_second(
    large: Product, path: str, change: dict[str, Any], model: str, before: int, after: int
) -> None:
    secret = manage(large, "/key/generate")["key"]
    # Each client has connections of its own, so that all workers are asked.
    clients = [client_for(large, secret) for _ in range(12)]
    with ThreadPoolExecutor(len(clients)) as threads:

        def all_say(status: int) -> bool:
            return all(threads.map(lambda client: status_of(client, model) == status, clients))

        assert eventually(lambda: all_say(before), seconds=1.0)
        named = {"keys": [secret]} if path == "/key/delete" else {"key": secret}
        manage(large, path, **(change if path == "/model/new" else {**change, **named}))
        assert eventually(lambda: all_say(after), seconds=2.0 if "duration" in change else 1.0)
    for client in clients:
        client.close()


def test_every_call_stands_in_the_ledger(large: Product, database: str) -> None:
    with client_for(large, large.create_key("counted")) as client:
        for _ in range(5):
            client.chat.completions.create(model=GPT, messages=[{"role": "user", "content": "Count me"}])

    def count() -> int:
        with psycopg.connect(database) as connection:
            row = connection.execute(
                "SELECT count(*) FROM portal_usagerecord u JOIN portal_virtualkey k ON k.id = u.key_id "
                "WHERE k.name = 'counted' AND u.status = 200 AND u.input_tokens > 0"
            ).fetchone()
        return int(row[0]) if row else 0

    assert eventually(lambda: count() == 5, seconds=5)
