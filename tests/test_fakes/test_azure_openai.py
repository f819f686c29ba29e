"""The fake of Azure OpenAI, driven by OpenAI's own clients for Azure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.fakes import samples
from tests.fakes.server import FakeServers

DATED = "2024-10-21"
KEY = "az-fake-alpha-0123456789"
PDF = samples.pdf("For Azure")


@pytest.fixture
def dated(fakes: FakeServers) -> Iterator[openai.AzureOpenAI]:
    with openai.AzureOpenAI(
        azure_endpoint=fakes.azure_url, api_key=KEY, api_version=DATED, max_retries=0
    ) as client:
        yield client


@pytest.fixture
def current(fakes: FakeServers) -> Iterator[openai.OpenAI]:
    """The current paths are for OpenAI's plain client; Azure takes its key as a bearer only from Entra."""
    with openai.OpenAI(
        base_url=f"{fakes.azure_url}/openai/v1",
        api_key="unused",
        default_headers={"api-key": KEY},
        max_retries=0,
    ) as client:
        yield client


@pytest.fixture(params=["dated", "current"])
def client(request: pytest.FixtureRequest) -> openai.OpenAI:
    found: openai.OpenAI = request.getfixturevalue(request.param)
    return found


def test_a_deployment_answers_under_its_own_name(client: openai.OpenAI):
    answer = client.chat.completions.create(model="docs", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content == "You said: hello"
    assert answer.model == "gpt-5.4"
    assert answer.choices[0].model_extra is not None
    assert "content_filter_results" in answer.choices[0].model_extra


def test_a_stream_begins_without_choices(client: openai.OpenAI):
    stream = client.chat.completions.create(
        model="docs",
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert chunks[0].choices == []
    assert chunks[0].model_extra is not None
    assert "prompt_filter_results" in chunks[0].model_extra
    said = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(said) == "You said: hello"
    assert chunks[-1].usage is not None


def test_there_is_no_deployment_of_that_name(client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": "hello"}])
    assert missing.value.code == "DeploymentNotFound"


def test_a_filtered_prompt_says_what_was_found(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="docs", messages=[{"role": "user", "content": "@block"}])
    assert refused.value.code == "content_filter"
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["innererror"]["code"] == "ResponsibleAIPolicyViolation"


def test_a_file_goes_up_is_processed_read_and_deleted(client: openai.OpenAI, fakes: FakeServers):
    made = client.files.create(file=("a.pdf", PDF), purpose="assistants")
    assert made.id.startswith("assistant-")
    assert made.model_dump()["status"] == "pending"
    assert [client.files.retrieve(made.id).model_dump()["status"] for _ in range(2)] == [
        "pending",
        "processed",
    ]
    answer = client.chat.completions.create(
        model="docs",
        messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": made.id}}]}],
    )
    assert hashlib.sha256(PDF).hexdigest() in str(answer.choices[0].message.content)
    assert [file.id for file in client.files.list(purpose="assistants")] == [made.id]
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)
    assert fakes.azure.files()[0]["gone"] == "deleted"


def test_a_file_that_is_still_processed_cannot_be_read(client: openai.OpenAI):
    made = client.files.create(file=("a.pdf", PDF), purpose="assistants")
    with pytest.raises(openai.BadRequestError, match="not processed"):
        client.chat.completions.create(
            model="docs",
            messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": made.id}}]}],
        )


@pytest.mark.parametrize("purpose", ["user_data", "vision"])
def test_azure_lacks_some_purposes(client: openai.OpenAI, purpose: str):
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("a.pdf", PDF), purpose=purpose)  # type: ignore[arg-type] # on purpose
    assert refused.value.code == "invalidPayload"


def test_expiry_fields_are_dotted(fakes: FakeServers):
    def create(**fields: str) -> httpx.Response:
        return httpx.post(
            f"{fakes.azure_url}/openai/v1/files",
            data={"purpose": "assistants", **fields},
            files={"file": ("a.pdf", PDF)},
            headers={"api-key": KEY},
        )

    dotted = {"expires_after.anchor": "created_at", "expires_after.seconds": "1209600"}
    made = create(**dotted).json()
    assert made["expires_at"] - made["created_at"] == 1_209_600
    assert create(**dotted | {"expires_after.seconds": "3600"}).status_code == 400
    bracketed = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "1209600"}
    assert create(**bracketed).status_code == 400


def test_versions_belong_to_their_paths(fakes: FakeServers):
    def models(path: str) -> int:
        return httpx.get(f"{fakes.azure_url}{path}", headers={"api-key": KEY}).status_code

    assert models("/openai/v1/models") == 200
    assert models("/openai/v1/models?api-version=preview") == 200
    assert models(f"/openai/v1/models?api-version={DATED}") == 400
    assert models(f"/openai/models?api-version={DATED}") == 200
    assert models("/openai/models") == 404


def test_keys_tokens_and_resources_are_told_apart(fakes: FakeServers):
    token = httpx.post(
        f"{fakes.azure_url}/tenant/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": "c",
            "client_secret": "az-secret-rival-1",
            "scope": "https://cognitiveservices.azure.com/.default",
        },
    ).json()["access_token"]
    with openai.AzureOpenAI(
        azure_endpoint=fakes.azure_url, azure_ad_token=token, api_version=DATED, max_retries=0
    ) as rival:
        made = rival.files.create(file=("a.pdf", PDF), purpose="assistants")
        assert rival.files.retrieve(made.id).id == made.id
    with openai.AzureOpenAI(
        azure_endpoint=fakes.azure_url, api_key=KEY, api_version=DATED, max_retries=0
    ) as alpha:
        with pytest.raises(openai.NotFoundError):
            alpha.files.retrieve(made.id)
        with pytest.raises(openai.AuthenticationError):
            alpha.with_options(api_key="worthless").files.retrieve(made.id)
    refused = httpx.post(
        f"{fakes.azure_url}/tenant/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": "c",
            "client_secret": "x",
            "scope": "a/.default",
        },
    )
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
