"""The hand-written examples of the wire reference: request, stream, lost reply of an upload."""

from __future__ import annotations

import orjson

from providers.gemini import PROVIDER
from providers.types import ProviderFile
from tests.providers.gemini.build import CONNECTION, call_of, events, streamed

SCHEMA = {
    "type": "object",
    "properties": {"from": {"type": ["string", "null"]}},
    "additionalProperties": False,
}


def test_second_step_of_a_tool_loop_with_a_managed_pdf():
    uri = "https://generativelanguage.googleapis.com/v1beta/files/abc123"
    call = call_of(
        "gemini-3.8-flash",
        files={"file-m1": ProviderFile("files/abc123", uri, "application/pdf", "invoice.pdf")},
        stream=False,
        reasoning_effort="low",
        max_completion_tokens=800,
        messages=[
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Total of the invoice in EUR?"},
                    {"type": "file", "file": {"file_id": "file-m1"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_a",
                        "type": "function",
                        "function": {"name": "fx", "arguments": '{"from":"USD"}'},
                        "extra_content": {"google": {"thought_signature": "QUJD"}},
                    },
                    {"id": "call_b", "type": "function", "function": {"name": "tax", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "call_b", "content": "0.2"},
            {"role": "tool", "tool_call_id": "call_a", "content": '{"rate":0.9}'},
        ],
        tools=[
            {"type": "function", "function": {"name": "fx", "parameters": SCHEMA}},
            {"type": "function", "function": {"name": "tax"}},
        ],
    )
    request = PROVIDER.to_chat(CONNECTION, call)
    assert request.method == "POST"
    assert request.url == (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-3.8-flash:generateContent"
    )
    assert request.headers["x-goog-api-key"] == CONNECTION.api_key
    assert isinstance(request.body, bytes)
    assert orjson.loads(request.body) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "Total of the invoice in EUR?"},
                    {"fileData": {"mimeType": "application/pdf", "fileUri": uri}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {
                        "functionCall": {"id": "call_a", "name": "fx", "args": {"from": "USD"}},
                        "thoughtSignature": "QUJD",
                    },
                    {"functionCall": {"id": "call_b", "name": "tax", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "call_a", "name": "fx", "response": {"rate": 0.9}}},
                    {"functionResponse": {"id": "call_b", "name": "tax", "response": {"output": "0.2"}}},
                ],
            },
        ],
        "tools": [
            {"functionDeclarations": [{"name": "fx", "parametersJsonSchema": SCHEMA}, {"name": "tax"}]}
        ],
        "generationConfig": {
            "maxOutputTokens": 800,
            # Thoughts are asked for whenever an effort is, since callers read reasoning_content.
            "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        },
    }
    assert call.warnings == []


def test_stream_with_thought_text_and_signed_tool_call():
    data = events(
        {
            "candidates": [
                {"content": {"role": "model", "parts": [{"text": "Let me think", "thought": True}]}}
            ],
            "usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10},
            "responseId": "r1",
            "modelVersion": "gemini-3.8-flash",
        },
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}}]},
        {
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [
                            {
                                "functionCall": {"id": "k1", "name": "f", "args": {"a": 1}},
                                "thoughtSignature": "U0lH",
                            }
                        ],
                    },
                    "finishReason": "STOP",
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 10,
                "candidatesTokenCount": 5,
                "thoughtsTokenCount": 7,
                "totalTokenCount": 22,
            },
        },
    )
    chunks = streamed([data], call_of(stream=True, stream_options={"include_usage": True}))
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:-1]] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Let me think"},
        {"content": "Hi"},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "k1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": 1}'},
                    "extra_content": {"google": {"thought_signature": "U0lH"}},
                }
            ]
        },
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * 4 + ["tool_calls"]
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-r1"}
    assert {chunk["model"] for chunk in chunks} == {"team-gemini"}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["created"] for chunk in chunks}) == 1
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 5
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 12,
        "total_tokens": 22,
        "completion_tokens_details": {"reasoning_tokens": 7},
        "prompt_tokens_details": {"cached_tokens": 0},
    }
