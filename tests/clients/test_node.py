"""Clients from npm: openai (https://github.com/openai/openai-node) and the Vercel AI SDK (https://ai-sdk.dev)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.clients.conftest import EMBEDDERS
from tests.fakes import samples
from tests.requirements import NODE_MODULES, node

pytestmark = [
    pytest.mark.xdist_group("clients"),
    pytest.mark.skipif(node() is None, reason="the clients from npm are not installed"),
]

SCRIPTS = Path(__file__).resolve().parent.parent / "node"
DOCUMENT = samples.pdf("For JavaScript")
SECONDS = 60

Told = dict[str, Any]


class Runs(Protocol):
    def __call__(self, program: str, model: str) -> Told: ...


@pytest.fixture(scope="module")
def runs(base_url: str, key: str, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs a script for a model, once for all tests, in a folder where it finds its packages."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (folder / "report.pdf").write_bytes(DOCUMENT)
    for script in SCRIPTS.glob("*.mjs"):
        (folder / script.name).write_bytes(script.read_bytes())
    program = node()
    assert program is not None

    @cache
    def run(name: str, model: str) -> Told:
        done = subprocess.run(
            [program, f"{name}.mjs"],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "BASE_URL": base_url,
                "API_KEY": key,
                "MODEL": model,
                "EMBEDDER": EMBEDDERS[0],
                "FILE": str(folder / "report.pdf"),
            },
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told: Told = json.loads(done.stdout)
        return told

    return run


@pytest.fixture(params=["openai", "ai_sdk"])
def told(request: pytest.FixtureRequest, runs: Runs, model: str) -> Told:
    return runs(request.param, model)


def test_a_plain_call(told: Told) -> None:
    assert told["chat"]["text"] == "You said: Good morning", told
    assert told["chat"]["finish"] == "stop"
    usage = told["chat"]["usage"]
    assert usage.get("total_tokens", usage.get("totalTokens")) > 1


def test_a_stream(told: Told) -> None:
    stream = told["stream"]
    assert stream["text"].startswith("You said: Tell a story"), stream
    assert stream["pieces"] > 2
    assert stream["usage"].get("completion_tokens", stream["usage"].get("outputTokens")) > 50


@pytest.mark.parametrize("part", ["tools", "tools_of_a_stream"])
def test_parallel_tools_go_around(told: Told, part: str) -> None:
    assert told[part].get("called") == ["get_weather", "get_time"], told[part]
    assert "sunny in Rome" in told[part]["text"]
    assert "12:34 in Europe/Rome" in told[part]["text"]


def test_structured_output(told: Told) -> None:
    assert told["schema"] == {"name": "example", "kind": "soup"}


def test_a_file_arrives_whole(told: Told) -> None:
    files = told["files"]
    assert hashlib.sha256(DOCUMENT).hexdigest() in files.get("text", ""), files


def test_the_file_verbs(runs: Runs, model: str) -> None:
    files = runs("openai", model)["files"]
    assert (files["bytes"], files["listed"], files["deleted"]) == (len(DOCUMENT), True, True)


def test_embeddings(runs: Runs, model: str) -> None:
    assert runs("ai_sdk", model)["embeddings"] == {"count": 2, "length": 3072}


def test_a_refusal_is_the_clients_own_error(runs: Runs, model: str) -> None:
    refusal = runs("openai", model)["refusal"]
    assert refusal["kind"] == "NotFoundError"
    assert (refusal["status"], refusal["code"]) == (404, "model_not_found")
    assert refusal["id"].startswith("req_")
    refusal = runs("ai_sdk", model)["refusal"]
    assert refusal["status"] == 404
    assert "gpt-0" in refusal["message"]
