"""What Vertex is sent, and what only one of Google's two hosts knows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers.errors import (
    InternalError,
    InvalidRequest,
    UnsupportedFile,
    UnsupportedParameter,
    UpstreamFileGone,
    UpstreamRefusedCredentials,
)
from providers.http import SyncClient
from providers.types import ChatCall, Connection, FileRef, HttpResponse, InlineFile, Json, ProviderFile
from providers.vertex import PROVIDER, media
from providers.vertex.chat_request import to_body
from tests.fakes import samples
from tests.fakes.server import FakeServers

OURS = "file-" + "M" * 24
MODEL = "gemini-2.5-flash"


def call(body: Json, files: dict[str, FileRef] | None = None, *, drop: bool = False) -> ChatCall:
    messages = body.pop("messages", [{"role": "user", "content": "hi"}])
    return ChatCall(MODEL, "team", {"model": "team", "messages": messages} | body, files or {}, drop)


def sent(body: Json, files: dict[str, FileRef] | None = None, *, drop: bool = False) -> Json:
    return to_body(call(body, files, drop=drop))


def ask(client: SyncClient, account: Connection, body: Json, files: dict[str, FileRef] | None = None) -> Json:
    asked = call(body, files)
    response = client.send(PROVIDER.to_chat(account, asked))
    if response.status != 200:
        raise PROVIDER.from_error(response)
    return PROVIDER.from_chat(asked, response)


def parts(*given: Json) -> list[Json]:
    return [{"role": "user", "content": [{"type": "text", "text": "read this"}, *given]}]


def file(file_id: str, **more: str) -> Json:
    return {"type": "file", "file": {"file_id": file_id, **more}}


def test_an_answer_comes_back(client: SyncClient, account: Connection, fakes: FakeServers) -> None:
    answer = ask(client, account, {"messages": [{"role": "user", "content": "hello"}]})
    assert answer["choices"][0]["message"]["content"] == "You said: hello"
    assert answer["model"] == "team"
    assert answer["usage"]["total_tokens"] > 0
    path = fakes.vertex.requests(path=":generateContent")[0]["path"]
    assert (
        path == f"/v1/projects/alpha/locations/europe-west1/publishers/google/models/{MODEL}:generateContent"
    )


def test_everything_of_a_conversation_is_taken(client: SyncClient, account: Connection) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    called = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    conversation: list[Json] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "call f"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "t", "content": "forty-two"},
    ]
    answer = ask(
        client,
        account,
        {
            "messages": conversation,
            "tools": [tool, {"type": "enterprise_web_search"}][:1],
            "labels": {"team": "blue"},
            "temperature": 0.5,
            "safety_settings": [
                {
                    "category": "HARM_CATEGORY_HARASSMENT",
                    "threshold": "BLOCK_ONLY_HIGH",
                    "method": "SEVERITY",
                }
            ],
            "reasoning_effort": "low",
        },
    )
    assert "forty-two" in answer["choices"][0]["message"]["content"]


def test_what_only_vertex_knows_is_sent() -> None:
    body = sent(
        {
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
            "audioTimestamp": True,
            "metadata": {"team": "blue", "Not A Label": "x"},
            "extra_body": {"modelArmorConfig": {"promptTemplateName": "t"}},
            "tools": [{"enterpriseWebSearch": {}}],
        }
    )
    assert body["generationConfig"]["audioTimestamp"] is True
    assert body["labels"] == {"team": "blue"}
    assert body["modelArmorConfig"] == {"promptTemplateName": "t"}
    assert body["tools"] == [{"enterpriseWebSearch": {}}]
    assert body["systemInstruction"]["role"] == "user"
    assert all(turn["role"] in ("user", "model") for turn in body["contents"])


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"enableEnhancedCivicAnswers": True}, "enableEnhancedCivicAnswers"),
        ({"tools": [{"fileSearch": {}}]}, "tools[0]"),
        ({"tools": [{"retrieval": {}}]}, "tools[0]"),
    ],
)
def test_what_only_the_other_host_knows_is_refused_or_dropped(extra: Json, param: str) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        sent(dict(extra))
    assert refused.value.param == param
    asked = call(dict(extra), drop=True)
    assert "fileSearch" not in orjson.dumps(to_body(asked)).decode()
    assert any(param in warning for warning in asked.warnings)


def test_model_armor_and_safety_settings_exclude_each_other() -> None:
    setting = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}
    with pytest.raises(InvalidRequest):
        sent({"modelArmorConfig": {}, "safety_settings": [setting]} | {"model_armor_config": {"a": 1}})
    with pytest.raises(InvalidRequest) as refused:
        sent({"safety_settings": [setting | {"method": "GUESS"}]})
    assert refused.value.param == "safety_settings[0].method"
    with pytest.raises(InvalidRequest):
        sent({"modelArmorConfig": "x"})


def test_a_copy_goes_by_its_address_in_the_bucket() -> None:
    copy = ProviderFile("gs://b/portico/x", "gs://b/portico/x", "text/csv", "a.csv")
    assert sent({"messages": parts(file(OURS))}, {OURS: copy})["contents"][0]["parts"][1] == {
        "fileData": {"mimeType": "text/plain", "fileUri": "gs://b/portico/x"}
    }


def test_a_copy_at_ai_studio_never_goes_to_vertex() -> None:
    uri = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    with pytest.raises(InternalError):
        sent({"messages": parts(file(OURS))}, {OURS: ProviderFile("files/abc", uri, "text/plain", "a")})
    with pytest.raises(UnsupportedFile):
        sent({"messages": parts(file(uri, format="application/pdf"))})


def test_callers_do_not_refer_to_our_copies_by_address() -> None:
    assert sent({"messages": parts(file("gs://public/a.pdf"))})["contents"][0]["parts"][1] == {
        "fileData": {"mimeType": "application/pdf", "fileUri": "gs://public/a.pdf"}
    }
    with pytest.raises(UnsupportedFile):
        sent({"messages": parts(file("gs://ours/portico/file-1/secret", format="application/pdf"))})


def test_every_address_has_a_media_type() -> None:
    video = {"type": "file", "file": {"file_id": "https://www.youtube.com/watch?v=1"}}
    assert sent({"messages": parts(video)})["contents"][0]["parts"][1]["fileData"]["mimeType"] == "video/mp4"


@pytest.mark.parametrize(
    ("media_type", "size", "way"),
    [
        ("image/png", 7 << 20, "inline"),
        ("image/png", (7 << 20) + 1, "copy"),
        ("application/pdf", (7 << 20) + 1, "copy"),
        ("application/pdf", 51 << 20, "unsupported"),
        ("audio/mpeg", 15 << 20, "inline"),
        ("video/mp4", 2 << 30, "copy"),
        ("video/mp4", (2 << 30) + 1, "unsupported"),
        ("text/csv", 10, "inline"),
        ("application/json", 10, "inline"),
        ("text/rtf", 10, "convert"),
        ("application/zip", 10, "unsupported"),
    ],
)
def test_how_a_file_is_shown(media_type: str, size: int, way: str) -> None:
    assert media.delivery(media_type, size) == way


def test_text_of_every_kind_is_sent_as_plain_text(client: SyncClient, account: Connection) -> None:
    for media_type, name in (
        ("text/csv", "a.csv"),
        ("application/json", "a.json"),
        ("text/x-python", "a.py"),
    ):
        shown = InlineFile(b"a,b\n1,2\n", media_type, name)
        answer = ask(client, account, {"messages": parts(file(OURS))}, {OURS: shown})
        assert "text/plain 8 bytes" in answer["choices"][0]["message"]["content"]


def test_an_inline_picture_arrives(client: SyncClient, account: Connection) -> None:
    shown = InlineFile(samples.png(), "image/png", "p.png")
    answer = ask(client, account, {"messages": parts(file(OURS))}, {OURS: shown})
    assert f"image/png {len(samples.png())} bytes" in answer["choices"][0]["message"]["content"]


def test_express_mode_asks_with_the_key(client: SyncClient, fakes: FakeServers) -> None:
    account = Connection("vertex_ai", api_key="AQ.alpha-0123456789", api_base=fakes.vertex_url)
    assert ask(client, account, {})["choices"][0]["message"]["content"] == "You said: hi"
    assert client.run(PROVIDER.list_models(account))[0].startswith("gemini-")
    assert fakes.vertex.requests(path="/token") == []


def test_a_token_that_ended_is_replaced_during_the_call(
    client: SyncClient, account: Connection, fakes: FakeServers
) -> None:
    ask(client, account, {})
    fakes.vertex.settings(skew_seconds=1e6)
    fakes.vertex.advance(4000)
    assert ask(client, account, {})["choices"][0]["message"]["content"] == "You said: hi"
    assert [r["status"] for r in fakes.vertex.requests(path=":generateContent")] == [200, 401, 200]
    assert len(fakes.vertex.requests(path="/token")) == 2


def test_the_models_of_google_are_listed(client: SyncClient, account: Connection) -> None:
    models = client.run(PROVIDER.list_models(account))
    assert MODEL in models
    assert len(models) == len(set(models))
    assert not [name for name in models if "veo" in name or "imagen" in name]


def error(status: int, message: Any, **more: Any) -> Any:
    body = {"error": {"code": status, "message": message, **more}}
    return PROVIDER.from_error(HttpResponse(status, {}, orjson.dumps(body)))


def test_a_missing_object_is_a_lost_copy_and_a_missing_model_is_not() -> None:
    gone = (
        (404, "An image file isn't found in the storage URL gs://b/x was not found"),
        (404, "The file gs://b/x is not found in the storage URL."),
        (400, "The object gs://b/x does not exist."),
        (403, "Permission 'storage.objects.get' denied on Cloud Storage object (or it may not exist)."),
    )
    for status, message in gone:
        assert isinstance(error(status, message), UpstreamFileGone), message
    missing = error(404, "Publisher Model `projects/p/locations/l/publishers/google/models/m` was not found")
    assert missing.code == "upstream_model_not_found"
    barred = error(403, "Permission denied while accessing input file. Learn more …")
    assert isinstance(barred, UpstreamRefusedCredentials)
    assert "bucket" in barred.message
    assert "gs://" not in str(
        error(404, "The file gs://b/x is not found in the storage URL.").provider_message
    )
