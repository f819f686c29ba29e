"""Answers read as attributes, as dicts and as OpenAI's objects."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from providers.client.results import (
    Choice,
    FileContent,
    FileList,
    FileObject,
    Message,
    ModelResponse,
    ModelResponseStream,
    Result,
)

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0}},
    "vertex_ai_url_context_metadata": [{"urlMetadata": [{"retrievedUrl": "https://example.com"}]}],
}


@pytest.fixture
def answer() -> ModelResponse:
    return ModelResponse(ANSWER)


def test_entries_are_attributes_at_every_depth(answer):
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "f"
    assert isinstance(call.function.arguments, str)
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "f"
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert isinstance(answer.choices[0], Choice)


def test_get_works_as_on_a_dict(answer):
    assert answer.get("choices", [{}])[0].get("message", {}).get("content") is None
    assert answer.get("nothing", 5) == 5


def test_openais_fields_read_as_none_when_they_are_absent(answer):
    assert answer.choices[0].message.reasoning_content is None
    assert answer.choices[0].message.audio is None
    assert answer.system_fingerprint is None
    chunk = ModelResponseStream({"choices": [{"index": 0, "delta": {}}]})
    assert chunk.choices[0].delta.content is None
    assert chunk.choices[0].finish_reason is None


def test_other_names_are_errors(answer):
    with pytest.raises(AttributeError, match="ModelResponse has no 'contents'"):
        _ = answer.contents
    assert not hasattr(answer, "nothing")
    with pytest.raises(KeyError):
        _ = answer["usages"]


def test_what_is_not_openais_stands_in_model_extra(answer):
    metadata = answer.model_extra["vertex_ai_url_context_metadata"]
    assert metadata[0]["urlMetadata"][0]["retrievedUrl"] == "https://example.com"
    assert set(answer.model_extra) == {"vertex_ai_url_context_metadata"}


def test_dumps_are_plain(answer):
    dumped = answer.model_dump()
    assert dumped == ANSWER
    assert type(dumped["choices"][0]["message"]) is dict
    assert json.loads(answer.model_dump_json()) == ANSWER
    assert json.loads(json.dumps(answer)) == ANSWER
    assert "content" not in answer.model_dump(exclude_none=True)["choices"][0]["message"]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
)
def test_copies_are_whole(answer, copied):
    ModelResponse.warned(answer, ["top_k was dropped"])
    made = copied(answer)
    assert made == answer
    assert type(made) is ModelResponse
    assert type(made.choices[0].message) is Message
    assert made.warnings == ("top_k was dropped",)


def test_a_deep_copy_shares_nothing(answer):
    made = copy.deepcopy(answer)
    made.choices[0].message.content = "changed"
    assert answer.choices[0].message.content is None


def test_the_repr_reads_like_the_code_that_makes_it():
    message = Message({"role": "assistant", "content": "hi"})
    assert repr(Choice({"index": 0, "message": message})) == (
        "Choice(index=0, message=Message(role='assistant', content='hi'))"
    )


def test_attributes_can_be_set_and_deleted():
    made = Result(a=1)
    made.b = {"c": 2}
    assert made.b.c == 2
    del made.a
    assert made == {"b": {"c": 2}}
    with pytest.raises(AttributeError):
        del made.a
    assert "b" in dir(made)


def test_a_list_of_files_is_a_page_too():
    files = FileList([FileObject(id="file-1")], after="next")
    assert [file.id for file in files] == ["file-1"]
    assert files.data[0].id == "file-1"
    assert files.has_more
    assert files.object == "list"
    assert files.model_dump() == {"object": "list", "data": [{"id": "file-1"}], "has_more": True}


def test_content_reads_under_every_name(tmp_path):
    content = FileContent("grün".encode())
    assert content.read() == content.content == bytes(content) == b"".join(content.iter_bytes(2))
    assert content.text == "grün"
    content.write_to_file(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content.content
    assert repr(content) == "FileContent(5 bytes)"
