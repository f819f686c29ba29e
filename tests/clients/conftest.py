"""The product in front of every fake, for programs that know nothing of it but OpenAI's API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.fakes.server import FakeServers
from tests.product import Product

GEMINI, VERTEX, GPT, AZURE = "gemini-3.5-flash", "vertex-flash", "gpt-5.4", "azure-docs"
MODELS = (GEMINI, VERTEX, GPT, AZURE)
THIRD = (GEMINI, VERTEX)
"""Gemini of the third generation: it refuses tool calls that come back without their signature."""
SPEAKER, PAINTER, LISTENER = "gemini-3.8-flash-tts", "gemini-3.1-flash-image", "gpt-4o-audio-preview"
EMBEDDERS = ("gemini-embedding-001", "text-embedding-3-small")
OF_THE_SUITE = "gpt-6-astra"
"""Named by openai's own tests."""


def config(fakes: FakeServers) -> str:
    gemini = {"api_base": fakes.gemini_url, "api_key": "AIza-main-0123456789abcdef"}
    gpt = {"api_base": fakes.openai_url, "api_key": "sk-fake-main-0123456789"}
    azure = {"api_base": fakes.azure_url, "api_key": "az-fake-main-0123456789", "api_version": "v1"}
    vertex = {
        "api_base": fakes.vertex_url,
        "vertex_location": "europe-west1",
        "gcs_bucket_name": "main-files",
        "vertex_credentials": json.dumps(fakes.vertex.service_account("main")),
    }
    served = {
        GEMINI: {"model": f"gemini/{GEMINI}", **gemini},
        VERTEX: {"model": "vertex_ai/gemini-3.5-flash", **vertex},
        GPT: {"model": f"openai/{GPT}", **gpt},
        AZURE: {"model": "azure/docs", **azure},
        SPEAKER: {"model": f"gemini/{SPEAKER}", **gemini},
        PAINTER: {"model": f"gemini/{PAINTER}", **gemini},
        LISTENER: {"model": f"openai/{LISTENER}", **gpt},
        OF_THE_SUITE: {"model": f"openai/{OF_THE_SUITE}", **gpt},
        EMBEDDERS[0]: {"model": f"gemini/{EMBEDDERS[0]}", **gemini},
        EMBEDDERS[1]: {"model": f"openai/{EMBEDDERS[1]}", **gpt},
    }
    entries = [{"model_name": name, "litellm_params": params} for name, params in served.items()]
    return json.dumps({"model_list": entries})


@pytest.fixture(scope="package")
def fakes() -> Iterator[FakeServers]:
    with FakeServers(process=True) as servers:
        yield servers


@pytest.fixture(scope="package")
def product(fakes: FakeServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    data_dir: Path = tmp_path_factory.mktemp("clients")
    path = data_dir / "config.yaml"
    path.write_text(config(fakes))
    environment = {"STORAGE_EMULATOR_HOST": fakes.vertex_url}
    with Product(data_dir, config=path, workers=2, environment=environment) as running:
        yield running


@pytest.fixture(scope="package")
def base_url(product: Product) -> str:
    return f"{product.url}/v1"


@pytest.fixture(scope="package")
def key(product: Product) -> str:
    return product.create_key("clients")


@pytest.fixture(scope="package")
def client(base_url: str, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)
