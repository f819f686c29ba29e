"""The product as a user starts it, in front of the fakes, with two rival teams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.fakes.server import FakeServers
from tests.product import Product

GEMINI, GPT = "gemini-3.5-flash", "gpt-5.4"
VERTEX, AZURE = "vertex-gemini", "azure-gpt"
MODELS = (GEMINI, GPT, VERTEX, AZURE)


def config(fakes: FakeServers) -> str:
    def entry(name: str, model: str, base: str, key: str = "", **more: object) -> dict[str, object]:
        params = {"model": model, "api_base": base, **({"api_key": key} if key else {}), **more}
        return {"model_name": name, "litellm_params": params}

    return json.dumps(
        {
            "model_list": [
                entry(GEMINI, f"gemini/{GEMINI}", fakes.gemini_url, "os.environ/GEMINI_API_KEY"),
                entry(GPT, f"openai/{GPT}", fakes.openai_url, "sk-fake-main-0123456789"),
                entry(
                    VERTEX,
                    "vertex_ai/gemini-2.5-flash",
                    fakes.vertex_url,
                    vertex_credentials=fakes.vertex.service_account("main"),
                    vertex_location="europe-west1",
                    gcs_bucket_name="main-files/team",
                ),
                entry(AZURE, "azure/docs", fakes.azure_url, "az-fake-main-0123456789"),
            ],
            "general_settings": {"master_key": "sk-master-of-the-tests"},
        }
    )


@pytest.fixture(scope="package")
def fakes() -> Iterator[FakeServers]:
    with FakeServers(process=True) as servers:
        yield servers


@pytest.fixture(scope="package")
def product(fakes: FakeServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    data_dir: Path = tmp_path_factory.mktemp("product")
    path = data_dir / "config.yaml"
    path.write_text(config(fakes))
    environment = {"GEMINI_API_KEY": "AIza-main-0123456789abcdef", "STORAGE_EMULATOR_HOST": fakes.vertex_url}
    with Product(data_dir, config=path, workers=2, environment=environment) as running:
        yield running


@pytest.fixture(scope="package")
def key(product: Product) -> str:
    return product.create_key("main")


@pytest.fixture(scope="package")
def rival_key(product: Product) -> str:
    return product.create_key("rival", team="Rival")


def client_for(product: Product, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{product.url}/v1", api_key=key, max_retries=0, timeout=60)


@pytest.fixture
def client(product: Product, key: str) -> Iterator[openai.OpenAI]:
    with client_for(product, key) as made:
        yield made


@pytest.fixture
def rival(product: Product, rival_key: str) -> Iterator[openai.OpenAI]:
    with client_for(product, rival_key) as made:
        yield made
