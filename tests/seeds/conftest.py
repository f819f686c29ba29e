"""Every snippet of the documents that users come with, as they wrote it.

Only hosts, ports, keys and the places of files are others, and `litellm` reads `providers`. What a snippet
prints is looked at as well.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import openai
import pytest

from providers.client import contexts
from providers.client.known_files import known_files
from providers.variables import VARIABLES
from tests import requirements
from tests.emulators import AZURITE_KEY, running_azurite
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.product import Product

GEMINI_KEY = "AIza-main-0123456789abcdef"
OPENAI_KEY = "sk-fake-main-0123456789"

DOWNLOADS = {
    "alloy.wav": samples.wav(),
    "2403.05530.pdf": samples.pdf("Gemini 1.5: Unlocking multimodal understanding", pages=3),
    "landmark3.jpg": samples.png(40, 30),
    "document.pdf": samples.pdf("A document"),
    "speech_vertex.mp3": samples.mp3(),
    "mydata.jsonl": samples.jsonl(),
    "localimage.jpeg": samples.png(8, 8),
}


@pytest.fixture(scope="package")
def running_fakes() -> Iterator[FakeServers]:
    with FakeServers(process=True) as servers:
        yield servers


@pytest.fixture
def fakes(running_fakes: FakeServers) -> FakeServers:
    """With nothing in their logs and no failure ordered; files stay, since the product knows them."""
    for control in (running_fakes.gemini, running_fakes.openai, running_fakes.vertex):
        control.clear_requests()
        control.clear_faults()
    return running_fakes


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture(scope="package")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the documents' downloads stand instead."""
    folder = tmp_path_factory.mktemp("downloads")
    for name, data in DOWNLOADS.items():
        (folder / name).write_bytes(data)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def files_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that snippets open."""
    for name, data in DOWNLOADS.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def environment(fakes: FakeServers, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What a user of the Python functions has in the environment."""
    for variables in VARIABLES.values():
        for names in variables.values():
            for name in names:
                monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in variables_of(fakes).items():
        monkeypatch.setenv(name, value)
    known_files.clear()
    contexts.forget_all()
    return monkeypatch


def variables_of(fakes: FakeServers) -> dict[str, str]:
    return {
        "GEMINI_API_KEY": GEMINI_KEY,
        "GEMINI_API_BASE": fakes.gemini_url,
        "OPENAI_API_KEY": OPENAI_KEY,
        "OPENAI_BASE_URL": fakes.openai_url,
        "PORTICO_FETCH_ALLOW": "127.0.0.1",
    }


@pytest.fixture(scope="package")
def azure_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of seed 001 for a storage account; nothing where Azurite is not installed."""
    if requirements.azurite() is None:
        yield {}
        return
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection_string:
        yield {
            "AZURE_STORAGE_CONNECTION_STRING": connection_string,  # instead of the public host
            "AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1",
            "AZURE_STORAGE_FILE_SYSTEM": "your-container-name",
            "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY,
        }


Start = Callable[..., Product]


@pytest.fixture(scope="package")
def start(running_fakes: FakeServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts the product with a config file, as `litellm --config` did."""
    running: list[Product] = []

    def begin(config: str, **more: str) -> Product:
        folder = tmp_path_factory.mktemp("product")
        path = folder / "config.yaml"
        path.write_text(config)
        variables = {**variables_of(running_fakes), **more}
        product = Product(folder / "data", config=path, environment=variables)
        running.append(product)
        return product.__enter__()

    yield begin
    for product in running:
        product.ask_to_stop()
    for product in running:
        product.__exit__(None, None, None)


class Proxy:
    """The product as a snippet speaks to it."""

    def __init__(self, product: Product) -> None:
        self.url = product.url
        self.key = product.create_key("seeds")
        self._clients: list[openai.OpenAI] = []

    def client(self, path: str = "", **arguments: Any) -> openai.OpenAI:
        """`OpenAI(base_url="http://0.0.0.0:4000", api_key="sk-1234")`."""
        made = openai.OpenAI(base_url=self.url + path, api_key=self.key, timeout=60, **arguments)
        self._clients.append(made)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()

    def curl(self, path: str, data: str) -> Any:
        """`curl -X POST … -H 'Content-Type: application/json' -d '…'`: the answer's JSON."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        response = httpx.post(self.url + path, headers=headers, content=data, timeout=60)
        assert response.status_code == 200, response.text
        assert response.headers["x-request-id"]
        return response.json()


def sent(fakes: FakeServers, path: str = "enerateContent") -> dict[str, Any]:
    """The body of the last request that reached Google."""
    found = fakes.gemini.requests(path=path)
    assert found, "nothing reached the provider"
    body = found[-1]["body"]
    return body if isinstance(body, dict) else json.loads(body)
