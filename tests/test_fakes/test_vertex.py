"""The fake of Google Cloud, driven by Google's own SDKs: google-genai and google-cloud-storage."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import Forbidden, NotFound, PreconditionFailed
from google.cloud import storage
from google.oauth2 import credentials as user
from google.oauth2 import service_account

from tests.fakes import samples
from tests.fakes.server import FakeServers

with warnings.catch_warnings():
    # Importing Google's SDK warns about its own use of deprecated typing; that is not ours to answer for.
    warnings.simplefilter("ignore")
    from google import genai
    from google.genai import types

MODEL = "gemini-2.5-flash"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
MIB = 1 << 20


def credentials(fakes: FakeServers, project: str) -> Any:
    made_from: Any = service_account.Credentials.from_service_account_info
    return made_from(fakes.vertex.service_account(project), scopes=[SCOPE])


def vertex_client(fakes: FakeServers, project: str, version: str = "v1beta1", owner: str = "") -> Any:
    options = types.HttpOptions(
        base_url=fakes.vertex_url,
        api_version=version,
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    return genai.Client(
        vertexai=True,
        project=project,
        location="us-central1",
        credentials=credentials(fakes, owner or project),
        http_options=options,
    )


@pytest.fixture(params=["v1", "v1beta1"])
def vertex(fakes: FakeServers, request: pytest.FixtureRequest) -> Iterator[Any]:
    with vertex_client(fakes, "alpha", request.param) as client:
        yield client


def token(fakes: FakeServers, project: str) -> str:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": f"1//fake-{project}-x",
        "client_id": "c",
        "client_secret": "s",
    }
    return str(httpx.post(f"{fakes.vertex_url}/token", data=form).json()["access_token"])


def storage_client(fakes: FakeServers, project: str) -> Any:
    """With a ready token: for service accounts this client also asks Google which regions are allowed."""
    made_from: Any = user.Credentials
    return storage.Client(
        project,
        credentials=made_from(token(fakes, project)),
        client_options=ClientOptions(api_endpoint=fakes.vertex_url),
    )


@pytest.fixture
def bucket(fakes: FakeServers) -> Iterator[Any]:
    client = storage_client(fakes, "alpha")
    yield client.bucket("alpha-files")
    client.close()


def test_googles_sdk_chats_with_a_service_account(vertex: Any, fakes: FakeServers):
    answer = vertex.models.generate_content(model=MODEL, contents="hello")
    assert answer.text == "You said: hello"
    assert answer.create_time is not None
    streamed = [
        chunk.text
        for chunk in vertex.models.generate_content_stream(model=MODEL, contents="hello")
        if chunk.text
    ]
    assert "".join(streamed) == "You said: hello"
    assert len(fakes.vertex.requests(path="/token$")) == 1


def test_googles_sdk_calls_functions_and_labels_requests(vertex: Any):
    declared = types.FunctionDeclaration(
        name="f", parameters_json_schema={"type": "object", "properties": {"a": {"type": "integer"}}}
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        labels={"team": "blue"},
        system_instruction="Be brief.",
        audio_timestamp=True,
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                threshold=types.HarmBlockThreshold.BLOCK_ONLY_HIGH,
                method=types.HarmBlockMethod.SEVERITY,
            )
        ],
    )
    answer = vertex.models.generate_content(model=MODEL, contents='call f {"a": 1}', config=config)
    assert answer.function_calls[0].args == {"a": 1}


def test_express_mode_takes_an_api_key(fakes: FakeServers):
    options = types.HttpOptions(base_url=fakes.vertex_url, api_version="v1")
    with genai.Client(vertexai=True, api_key="AQ.alpha-0123456789", http_options=options) as client:
        assert client.models.generate_content(model=MODEL, contents="hi").text == "You said: hi"


def test_the_models_of_the_publisher_are_listed(fakes: FakeServers):
    with vertex_client(fakes, "alpha") as client:
        names = [model.name for model in client.models.list(config={"query_base": True})]
    assert f"publishers/google/models/{MODEL}" in names


def test_a_model_reads_an_object_of_its_own_project_only(fakes: FakeServers, vertex: Any, bucket: Any):
    data = samples.pdf("In a bucket")
    bucket.blob("a/b.pdf").upload_from_string(data, "application/pdf")

    def ask(client: Any, uri: str) -> str:
        part = types.Part.from_uri(file_uri=uri, mime_type="application/pdf")
        return str(client.models.generate_content(model=MODEL, contents=["what?", part]).text)

    assert hashlib.sha256(data).hexdigest() in ask(vertex, "gs://alpha-files/a/b.pdf")
    with vertex_client(fakes, "rival") as rival, pytest.raises(genai.errors.ClientError) as foreign:
        ask(rival, "gs://alpha-files/a/b.pdf")
    assert foreign.value.code == 403
    with pytest.raises(genai.errors.ClientError) as missing:
        ask(vertex, "gs://alpha-files/a/c.pdf")
    assert missing.value.code == 404
    files_api = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    with pytest.raises(genai.errors.ClientError, match="Unsupported file uri"):
        ask(vertex, files_api)


def test_another_projects_path_is_refused(fakes: FakeServers):
    with (
        vertex_client(fakes, "rival", owner="alpha") as client,
        pytest.raises(genai.errors.ClientError) as refused,
    ):
        client.models.generate_content(model=MODEL, contents="hi")
    assert refused.value.code == 403


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"store": True}, 'Unknown name "store"'),
        ({"generationConfig": {"enableEnhancedCivicAnswers": True}}, "enableEnhancedCivicAnswers"),
        ({"toolConfig": {"includeServerSideToolInvocations": True}}, "includeServerSideToolInvocations"),
        ({"tools": [{"fileSearch": {}}]}, "fileSearch"),
        ({"contents": [{"parts": [{"text": "hi"}]}]}, "Please use a valid role: user, model."),
        ({"modelArmorConfig": {"a": 1}, "safetySettings": [{}]}, "mutually exclusive"),
    ],
)
def test_what_only_ai_studio_knows_is_refused(fakes: FakeServers, change: dict[str, Any], message: str):
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]} | change
    if "safetySettings" in change:
        body["safetySettings"] = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]
    url = f"{fakes.vertex_url}/v1/publishers/google/models/{MODEL}:generateContent"
    answer = httpx.post(url, json=body, headers={"x-goog-api-key": "AQ.alpha-1"})
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_tokens_end_on_the_fakes_clock(fakes: FakeServers, vertex: Any):
    vertex.models.generate_content(model=MODEL, contents="hi")
    fakes.vertex.advance(3601)
    with pytest.raises(genai.errors.ClientError) as refused:
        vertex.models.generate_content(model=MODEL, contents="hi")
    assert refused.value.code == 401


def test_an_assertion_must_be_signed_fresh_and_for_google(fakes: FakeServers):
    def granted(**changes: Any) -> dict[str, Any]:
        key = fakes.vertex.service_account("alpha")
        made_from: Any = service_account.Credentials.from_service_account_info
        made = made_from(key | changes, scopes=[SCOPE])
        assertion = made._make_authorization_grant_assertion().decode()
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        return dict(httpx.post(f"{fakes.vertex_url}/token", data=form).json())

    assert granted()["access_token"].startswith("ya29.")
    assert granted(client_email="somebody@example.com")["error"] == "invalid_grant"
    assert granted(private_key_id="other")["error_description"] == "Invalid JWT Signature."
    fakes.vertex.advance(7200)
    assert "reasonable timeframe" in granted()["error_description"]


@pytest.mark.parametrize("size", [0, 10, 9 * MIB, 20 * MIB])
def test_googles_storage_client_uploads_resumably(fakes: FakeServers, bucket: Any, size: int):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    blob = bucket.blob(f"sizes/{size}", chunk_size=MIB)
    blob.metadata = {"portico-reference": "x"}
    blob.upload_from_file(io.BytesIO(data), size=size, content_type="application/x-thing")
    blob.reload()
    assert (blob.size, blob.content_type, blob.metadata) == (
        size,
        "application/x-thing",
        {"portico-reference": "x"},
    )
    assert fakes.vertex.uploads() == {("alpha", hashlib.sha256(data).hexdigest()): 1}
    if size:
        assert blob.download_as_bytes(checksum=None) == data
        assert blob.download_as_bytes(start=2, end=5, checksum=None) == data[2:6]


def test_objects_are_listed_by_prefix_and_deleted(bucket: Any):
    for name in ("a/1", "a/2", "b/1"):
        bucket.blob(name).upload_from_string(b"x")
    assert [blob.name for blob in bucket.list_blobs(prefix="a/", page_size=1)] == ["a/1", "a/2"]
    bucket.blob("a/1").delete()
    with pytest.raises(NotFound):
        bucket.blob("a/1").delete()
    with pytest.raises(NotFound):
        bucket.blob("a/1").download_as_bytes()


def test_a_generation_of_zero_means_only_new_objects(bucket: Any):
    bucket.blob("once").upload_from_string(b"x", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("once").upload_from_string(b"y", if_generation_match=0)
    blob = bucket.blob("once", chunk_size=MIB)
    with pytest.raises(PreconditionFailed):
        blob.create_resumable_upload_session(size=3, if_generation_match=0)


def test_buckets_of_others_are_closed(fakes: FakeServers):
    client = storage_client(fakes, "rival")
    with pytest.raises(Forbidden):
        client.bucket("alpha-files").blob("a").upload_from_string(b"x")
    with pytest.raises(NotFound):
        client.bucket("nobodys").blob("a").upload_from_string(b"x")
    client.close()
    answer = httpx.get(f"{fakes.vertex_url}/storage/v1/b/alpha-files/o")
    assert answer.status_code == 401
    assert answer.json()["error"]["errors"][0]["message"] == answer.json()["error"]["message"]


def test_a_session_says_how_far_it_got(fakes: FakeServers):
    began = httpx.post(
        f"{fakes.vertex_url}/upload/storage/v1/b/alpha-files/o?uploadType=resumable&name=x",
        content=json.dumps({"contentType": "text/plain"}),
        headers={"authorization": f"Bearer {token(fakes, 'alpha')}"},
    )
    url, chunk = began.headers["location"], bytes(256 * 1024)
    total = len(chunk) + 5

    def put(content: bytes, told: str) -> httpx.Response:
        return httpx.put(url, content=content, headers={"content-range": told})

    nothing = put(b"", f"bytes */{total}")
    assert (nothing.status_code, nothing.headers.get("range")) == (308, None)
    assert put(b"x" * 100, f"bytes 0-99/{total}").status_code == 400
    part = put(chunk, f"bytes 0-{len(chunk) - 1}/{total}")
    assert (part.status_code, part.headers["range"]) == (308, f"bytes=0-{len(chunk) - 1}")
    assert put(chunk, f"bytes 0-{len(chunk) - 1}/{total}").status_code == 400
    whole = put(b"12345", f"bytes {len(chunk)}-{total - 1}/{total}")
    assert (whole.status_code, whole.json()["size"]) == (200, str(total))
    again = put(b"", f"bytes */{total}")
    assert (again.status_code, again.json()["name"]) == (200, "x")
    assert httpx.put(url + "nope", headers={"content-range": "bytes */1"}).status_code == 404
