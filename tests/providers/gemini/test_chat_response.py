"""Whole answers and streams: text, thoughts, calls, media, grounding, usage, endings, breakage."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest

from providers.errors import PorticoError, RateLimited, UpstreamInvalid, UpstreamUnavailable
from providers.gemini import PROVIDER, spec
from providers.types import HttpResponse, Json
from tests.providers.gemini.build import answered, call_of, events, said, streamed

TEXT = {"text": "Hello"}
CALL = {"functionCall": {"id": "k1", "name": "f", "args": {"q": "Grüße"}}}


def candidate(*parts: Json, finish: str | None = None, **more: Any) -> Json:
    item: Json = {"content": {"role": "model", "parts": list(parts)}, **more}
    return {**item, "finishReason": finish} if finish else item


def answer(*parts: Json, finish: str | None = None, **more: Any) -> Json:
    return {"candidates": [candidate(*parts, finish=finish)], "responseId": "r1", **more}


# ---- whole answers ------------------------------------------------------------------------------


def test_text_is_an_openai_completion():
    found = answered(
        {
            "candidates": [
                {"content": {"parts": [TEXT, {"text": " you"}]}, "finishReason": "STOP", "index": 0}
            ],
            "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6},
            "modelVersion": "gemini-2.5-flash",
            "responseId": "abc",
        }
    )
    assert found["id"] == "chatcmpl-abc"
    assert found["object"] == "chat.completion"
    assert found["model"] == "team-gemini"
    assert found["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello you", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
            "provider_specific_fields": {"native_finish_reason": "STOP"},
        }
    ]
    assert found["usage"]["total_tokens"] == 6
    assert found["provider_specific_fields"] == {"model_version": "gemini-2.5-flash"}


def test_thoughts_are_reasoning_and_thought_pictures_are_left_out():
    picture = {"inlineData": {"mimeType": "image/png", "data": "QQ=="}, "thought": True}
    message = said({"text": "Hmm", "thought": True}, picture, TEXT)["message"]
    assert message["reasoning_content"] == "Hmm"
    assert message["content"] == "Hello"
    assert "images" not in message


def test_calls_are_tool_calls_with_or_without_an_id_of_google():
    choice = said(
        CALL, {"functionCall": {"name": "g"}}, {"functionCall": {"id": "k1", "name": "h", "args": {}}}
    )
    calls = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert calls[0] == {
        "id": "k1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"q": "Grüße"}'},
    }
    assert calls[1]["function"]["arguments"] == "{}"
    assert len({call["id"] for call in calls}) == 3
    assert calls[1]["id"].startswith("call_")


def test_parallel_calls_are_cut_to_one_when_the_caller_wants_one():
    choice = said(CALL, {"functionCall": {"name": "g"}}, call=call_of(parallel_tool_calls=False))
    assert len(choice["message"]["tool_calls"]) == 1


def test_callers_of_legacy_functions_get_a_function_call():
    choice = said(CALL, call=call_of(functions=[{"name": "f"}]))
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"q": "Grüße"}'}
    assert "tool_calls" not in choice["message"]


def test_calls_of_custom_tools_carry_text():
    call = call_of(tools=[{"type": "custom", "custom": {"name": "sql"}}])
    choice = said({"functionCall": {"id": "x", "name": "sql", "args": {"input": "select 1"}}}, call=call)
    assert choice["message"]["tool_calls"] == [
        {"id": "x", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    ]


def test_pictures_stand_in_a_list_and_content_is_not_null():
    message = said({"inlineData": {"mimeType": "image/png", "data": "QQ=="}, "thoughtSignature": "QUJD"})[
        "message"
    ]
    assert message["images"] == [
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,QQ=="},
            "index": 0,
            "extra_content": {"google": {"thought_signature": "QUJD"}},
        }
    ]
    assert message["content"] == ""


def test_speech_is_audio_raw_or_with_a_header():
    samples = base64.b64encode(b"\1\2\3\4").decode()
    part = {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=16000", "data": samples}}
    raw = said(part, call=call_of(audio={"voice": "Kore", "format": "pcm16"}))["message"]
    assert raw["audio"]["data"] == samples
    assert raw["audio"]["id"].startswith("audio_")
    assert raw["audio"]["expires_at"] > 1e9
    assert raw["content"] is None
    wav = said(part, part, call=call_of(audio={"voice": "Kore", "format": "wav"}))["message"]
    data = base64.b64decode(wav["audio"]["data"])
    assert data[:4] == b"RIFF"
    assert struct.unpack("<I", data[24:28]) == (16000,)
    assert data[44:] == b"\1\2\3\4" * 2


def test_code_that_google_ran_is_visible():
    parts: list[Json] = [
        {"text": "Let me see."},
        {"executableCode": {"language": "PYTHON", "code": "print('```')\n"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "3\n"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_FAILED"}},
        {"text": "It is 3."},
    ]
    content = said(*parts)["message"]["content"]
    assert content == (
        "Let me see.\n````python\nprint('```')\n````\n```text\n3\n```\n```text\nOUTCOME_FAILED\n```\nIt is 3."
    )


def test_sources_are_annotations_at_characters_of_the_whole_content():
    text = "Ärger über Öl. Gut so."
    start = len("Ärger über Öl. ".encode())
    metadata = {
        "webSearchQueries": ["q"],
        "groundingChunks": [
            {"web": {"uri": "https://a.example", "title": "A"}},
            {"web": {"uri": "https://b.example"}},
            {},
        ],
        "groundingSupports": [
            {"segment": {"endIndex": start - 1, "text": "Ärger über Öl."}, "groundingChunkIndices": [0]},
            {
                "segment": {"startIndex": start, "endIndex": len(text.encode()), "text": "Gut so."},
                "groundingChunkIndices": [1, 2, 9, True],
            },
        ],
    }
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    found = answered(
        {"candidates": [candidate(code, {"text": text}, finish="STOP", groundingMetadata=metadata)]}
    )
    message = found["choices"][0]["message"]
    citations = [item["url_citation"] for item in message["annotations"]]
    cited = [message["content"][item["start_index"] : item["end_index"]] for item in citations]
    assert cited == ["Ärger über Öl.", "Gut so."]
    assert [item["url"] for item in citations] == ["https://a.example", "https://b.example"]
    assert found["vertex_ai_grounding_metadata"] == [metadata]


def test_offsets_of_a_later_part_are_found_by_their_text():
    metadata = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"partIndex": 1, "endIndex": 6, "text": "Second"}, "groundingChunkIndices": [0]}
        ],
    }
    message = said({"text": "First. "}, {"text": "Second"}, groundingMetadata=metadata)["message"]
    citation = message["annotations"][0]["url_citation"]
    assert (citation["start_index"], citation["end_index"]) == (7, 13)


def test_raw_metadata_stands_where_litellms_callers_look():
    url_metadata = {
        "urlMetadata": [{"retrievedUrl": "https://x", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"}]
    }
    ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]
    item = candidate(TEXT, finish="STOP", urlContextMetadata=url_metadata, safetyRatings=ratings)
    found = answered({"candidates": [item]})
    assert found["vertex_ai_url_context_metadata"][0]["urlMetadata"][0]["retrievedUrl"] == "https://x"
    assert found["vertex_ai_safety_results"] == [ratings]


def test_several_candidates_are_several_choices():
    found = answered(
        {
            "candidates": [
                candidate({"text": "a"}, finish="STOP", index=1),
                candidate({"text": "b"}, finish="MAX_TOKENS", index=0),
            ]
        }
    )
    assert [
        (choice["index"], choice["message"]["content"], choice["finish_reason"])
        for choice in found["choices"]
    ] == [
        (1, "a", "stop"),
        (0, "b", "length"),
    ]


def test_logprobs_have_tokens_and_alternatives():
    result = {
        "chosenCandidates": [{"token": "Hé", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "Ho", "logProbability": -1}]}],
    }
    assert said(TEXT, logprobsResult=result)["logprobs"] == {
        "content": [
            {
                "token": "Hé",
                "logprob": -0.5,
                "bytes": [72, 195, 169],
                "top_logprobs": [{"token": "Ho", "logprob": -1, "bytes": [72, 111]}],
            }
        ],
        "refusal": None,
    }


def test_metadata_that_nests_too_deeply_to_be_written_again_is_left_out():
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    part = {"toolCall": {"id": "s", "toolType": "X", "args": deep}}
    found = answered({"candidates": [candidate(TEXT, part, finish="STOP", groundingMetadata=deep)]})
    assert "vertex_ai_grounding_metadata" not in found
    assert orjson.dumps(found)
    arguments = said({"functionCall": {"name": "f", "args": deep}})["message"]["tool_calls"][0]["function"]
    assert arguments["arguments"].count("{") == 201


def test_answer_of_very_many_parts_is_read_at_once():
    found = said(*[{"text": "ab"}] * 100_000)
    assert found["message"]["content"] == "ab" * 100_000


# ---- usage --------------------------------------------------------------------------------------


def test_usage_counts_thoughts_as_output_and_tool_prompts_as_input():
    found = answered(
        answer(
            TEXT,
            finish="STOP",
            usageMetadata={
                "promptTokenCount": 10,
                "cachedContentTokenCount": 3,
                "toolUsePromptTokenCount": 5,
                "candidatesTokenCount": 7,
                "thoughtsTokenCount": 2,
                "totalTokenCount": 24,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 6},
                    {"modality": "AUDIO", "tokenCount": 4},
                ],
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 7}],
                "serviceTier": "flex",
            },
        )
    )
    assert found["usage"] == {
        "prompt_tokens": 15,
        "completion_tokens": 9,
        "total_tokens": 24,
        "prompt_tokens_details": {"cached_tokens": 3, "text_tokens": 6, "audio_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2, "image_tokens": 7},
    }
    assert found["service_tier"] == "flex"


def test_thoughts_that_are_counted_within_the_candidates_are_not_counted_twice():
    counts = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 9,
        "thoughtsTokenCount": 4,
        "totalTokenCount": 19,
    }
    assert answered(answer(TEXT, finish="STOP", usageMetadata=counts))["usage"]["completion_tokens"] == 9


def test_usage_that_was_not_told_is_null():
    assert answered(answer(TEXT, finish="STOP"))["usage"] is None


# ---- endings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", sorted(spec.FINISH_REASONS))
def test_every_finish_reason_has_its_word_with_and_without_content(reason):
    ending = spec.FINISH_REASONS[reason]
    with_text = said(TEXT, finish=reason)
    expected = {"broken": "stop", "other": "stop"}.get(ending, ending)
    assert with_text["finish_reason"] == expected
    assert with_text["provider_specific_fields"]["native_finish_reason"] == reason
    empty = {"candidates": [{"finishReason": reason}]}
    if ending == "broken":
        with pytest.raises(UpstreamInvalid):
            answered(empty)
    else:
        choice = answered(empty)["choices"][0]
        assert choice["finish_reason"] == {"other": "content_filter"}.get(ending, ending)
        assert choice["message"]["content"] == ""


def test_unknown_finish_reasons_end_quietly():
    assert said(TEXT, finish="BRAND_NEW")["finish_reason"] == "stop"


def test_blocked_prompts_are_filtered_content():
    found = answered({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}})
    choice = found["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["content"] == ""
    assert found["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b"{}",
        b"null",
        b'"text"',
        b'{"candidates": {}}',
        b'{"candidates": [7]}',
        b'{"candidates": []}',
        b'{"candidates": [{}]}',
        b'{"candidates": [{"content": {"parts": {}}}]}',
        b'{"candidates": [{"content": {"parts": [7]}}]}',
        b'{"candidates": [{"content": {"parts": [{"text": 7}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"functionCall": {"args": {}}}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": []}}, 7]}}]}',
        b'{"candidates": [{"content": {"parts": [{"inlineData": "x"}]}}]}',
        b'{"promptFeedback": {"blockReason": 7}}',
    ],
)
def test_broken_answers_are_upstream_errors(body):
    with pytest.raises(UpstreamInvalid):
        PROVIDER.from_chat(call_of(), HttpResponse(200, {}, body))


def test_error_with_status_200_is_that_error():
    with pytest.raises(RateLimited):
        answered({"error": {"code": 429, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED"}})


# ---- streams ------------------------------------------------------------------------------------


LIVELY = events(
    answer({"text": "Let me think – ü", "thought": True}, usageMetadata={"promptTokenCount": 3}),
    answer({"text": "Grüße \u2028 "}),
    answer({"text": "Öl"}, {"executableCode": {"language": "PYTHON", "code": "1"}}),
    answer(CALL, {"functionCall": {"id": "k2", "name": "g", "args": {}}}),
    answer({"inlineData": {"mimeType": "image/png", "data": "QQ=="}}),
    answer(
        {"text": "", "thoughtSignature": "QUJD"},
        finish="STOP",
        usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 4},
    ),
)


def comparable(chunks: list[Json]) -> list[Json]:
    return [{**chunk, "created": 0} for chunk in chunks]


def test_stream_cut_at_every_byte_gives_the_same_chunks():
    call = call_of(stream=True, stream_options={"include_usage": True})
    whole = comparable(streamed([LIVELY], call))
    assert len(whole) > 8
    for at in range(len(LIVELY) + 1):
        assert comparable(streamed([LIVELY[:at], LIVELY[at:]], call)) == whole
    assert comparable(streamed((LIVELY[i : i + 1] for i in range(len(LIVELY))), call)) == whole


def test_stream_with_other_line_ends_comments_and_lists_is_the_same():
    call = call_of(stream=True)
    whole = comparable(streamed([LIVELY], call))
    assert comparable(streamed([LIVELY.replace(b"\r\n", b"\n")], call)) == whole
    assert (
        comparable(streamed([b": ping\n\n" + LIVELY.replace(b"\r\n\r\n", b"\r\n\r\n: x\r\n\r\n")], call))
        == whole
    )
    assert comparable(streamed([LIVELY.replace(b"\r\n\r\n", b"\n")], call)) == whole
    listed = b"data: [" + b",".join(line[6:] for line in LIVELY.split(b"\r\n\r\n") if line) + b"]\n\n"
    assert comparable(streamed([listed], call)) == whole
    assert comparable(streamed([LIVELY + b"data: [DONE]\n\n"], call)) == whole


def test_stream_says_role_first_and_the_finish_last_and_usage_only_when_asked():
    chunks = streamed([LIVELY])
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert all("usage" not in chunk for chunk in chunks)
    indexes = [
        call["index"] for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert indexes == [0, 1]


def test_usage_is_known_while_the_stream_runs_and_the_last_report_wins():
    reader = PROVIDER.open_stream(call_of(stream=True))
    assert not reader.usage
    reader.feed(LIVELY[: LIVELY.index(b"\r\n\r\n") + 4])
    assert (reader.usage or {})["prompt_tokens"] == 3
    reader.feed(LIVELY[LIVELY.index(b"\r\n\r\n") + 4 :])
    assert (reader.usage or {})["completion_tokens"] == 4


def test_stream_that_stops_without_a_reason_is_broken_and_keeps_its_usage():
    reader = PROVIDER.open_stream(call_of(stream=True))
    data = events(answer(TEXT, usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 1}))
    assert [chunk["choices"][0]["delta"] for chunk in reader.feed(data)][1] == {"content": "Hello"}
    with pytest.raises(UpstreamInvalid):
        reader.finish()
    assert reader.usage is not None


@pytest.mark.parametrize("data", [b"", b": ping\n\n", b"data: {}\n\n", b'data: {"usageMetadata": {}}\n\n'])
def test_empty_streams_are_broken(data):
    with pytest.raises(UpstreamInvalid):
        streamed([data])


def read_into(chunks: list[Json], *pieces: bytes) -> None:
    """Reads a stream to its end and keeps the chunks that came before a failure."""
    reader = PROVIDER.open_stream(call_of(stream=True))
    for piece in pieces:
        chunks += reader.feed(piece)
    chunks += reader.finish()


@pytest.mark.parametrize(
    "tail",
    [
        b'data: {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}\n\n',
        b'{"error": {"code": 503, "message": "overloaded"}}',
        b'{\n  "error": {\n    "code": 503,\n    "message": "overloaded"\n  }\n}\n',
        b'[{"error": {"code": 503, "message": "overloaded"}}]\n',
    ],
)
def test_error_within_a_stream_is_raised_after_what_was_said(tail):
    data = events(answer(TEXT)) + tail
    for at in range(len(data)):
        chunks: list[Json] = []
        with pytest.raises(UpstreamUnavailable):
            read_into(chunks, data[:at], data[at:])
        assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
            {"role": "assistant", "content": ""},
            {"content": "Hello"},
        ]


def test_broken_json_within_a_stream_is_an_upstream_error():
    for tail in (b"data: {broken\n\n", b'data: {"candidates": [{"content": {"pa', b"data: 7\n\n"):
        with pytest.raises(UpstreamInvalid):
            streamed([events(answer(TEXT)), tail])


def test_blocked_prompt_streams_a_filtered_end():
    chunks = streamed([events({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})])
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, "content_filter"]


def test_broken_call_without_content_is_raised_and_after_content_ends_quietly():
    broken = {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}
    with pytest.raises(UpstreamInvalid):
        streamed([events(broken)])
    assert streamed([events(answer(TEXT), broken)])[-1]["choices"][0]["finish_reason"] == "stop"


def test_sources_of_a_stream_come_before_its_end():
    metadata = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [{"segment": {"endIndex": 5, "text": "Hello"}, "groundingChunkIndices": [0]}],
    }
    last = {"candidates": [candidate({"text": " you"}, finish="STOP", groundingMetadata=metadata)]}
    chunks = streamed([events(answer(TEXT), last)])
    assert chunks[-2]["choices"][0]["delta"]["annotations"][0]["url_citation"]["url"] == "https://a.example"
    assert chunks[-1]["vertex_ai_grounding_metadata"] == [metadata]


def test_arguments_that_come_in_pieces_are_put_together():
    def piece(**call: Any) -> Json:
        return answer({"functionCall": call})

    def part_of(path: str, **value: Any) -> Json:
        return piece(partialArgs=[{"jsonPath": path, **value}], willContinue=True)

    data = events(
        piece(name="f", willContinue=True),
        part_of("$.a[0].b", stringValue="x", willContinue=True),
        part_of("$.a[0].b", stringValue="y"),
        part_of("$.n", numberValue=2),
        part_of("$['k k']", nullValue=None),
        piece(),
        answer({"functionCall": {"name": "g"}}, finish="STOP"),
    )
    chunks = streamed([data])
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [orjson.loads(call["function"]["arguments"]) for call in calls] == [
        {"a": [{"b": "xy"}], "n": 2, "k k": None},
        {},
    ]
    for path in ("a", "$", "$[0]", "$.a[7]", "$.a..b", 7):
        with pytest.raises(PorticoError):
            streamed([events(piece(name="f", partialArgs=[{"jsonPath": path, "numberValue": 1}]))])
