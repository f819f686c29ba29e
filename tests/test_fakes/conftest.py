"""One pair of fakes for all tests here, emptied before each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.server import FakeServers

with warnings.catch_warnings():
    # Importing Google's SDK warns about its own use of deprecated typing; that is not ours to answer for.
    warnings.simplefilter("ignore")
    from google import genai
    from google.genai import types


@pytest.fixture(scope="session")
def running_fakes() -> Iterator[FakeServers]:
    with FakeServers() as fakes:
        yield fakes


@pytest.fixture(autouse=True)
def fakes(running_fakes: FakeServers) -> FakeServers:
    running_fakes.reset()
    return running_fakes


def gemini_client(fakes: FakeServers, project: str, version: str = "v1beta") -> Any:
    """Google's client; as Any, because every field of its answers is optional to the type checker."""
    options = types.HttpOptions(
        base_url=fakes.gemini_url,
        api_version=version,
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    return genai.Client(api_key=f"AIza-{project}-0123456789", http_options=options)


@pytest.fixture(scope="session")
def gemini(running_fakes: FakeServers) -> Iterator[Any]:
    with gemini_client(running_fakes, "alpha") as client:
        yield client


@pytest.fixture(scope="session")
def gemini_rival(running_fakes: FakeServers) -> Iterator[Any]:
    with gemini_client(running_fakes, "rival") as client:
        yield client


@pytest.fixture(scope="session")
def client(running_fakes: FakeServers) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key="sk-fake-alpha-0123456789", base_url=running_fakes.openai_url, max_retries=0
    ) as alpha:
        yield alpha


@pytest.fixture(scope="session")
def rival(running_fakes: FakeServers) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key="sk-fake-rival-0123456789", base_url=running_fakes.openai_url, max_retries=0
    ) as other:
        yield other
