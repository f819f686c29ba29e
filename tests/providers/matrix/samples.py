"""One whole answer of each wire format that holds everything an answer can hold, and who speaks which.

https://platform.openai.com/docs/api-reference/chat/object
https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from providers.types import Connection, Json
from tests.providers.test_conformance import BASE, KEYS

SOUND = base64.b64encode(b"\x00\x01" * 8).decode()
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 20).decode()

# The models that are asked; a feature that only some of them have is shown as such.
MODELS: Mapping[str, tuple[str, ...]] = {
    "openai": ("gpt-4.1", "gpt-5.4"),
    "azure": ("our-deployment",),
    "gemini": ("gemini-2.5-flash", "gemini-3.8-flash"),
    "vertex_ai": ("gemini-2.5-flash", "gemini-3.8-flash"),
}
SPEAKERS: Mapping[str, str] = {
    "openai": "gpt-audio",
    "azure": "our-speaker",
    "gemini": "gemini-3.8-flash-tts",
    "vertex_ai": "gemini-3.8-flash-tts",
}
PAINTERS: Mapping[str, str] = {"gemini": "gemini-3.1-flash-image", "vertex_ai": "gemini-3.1-flash-image"}
EMBEDDERS: Mapping[str, str] = {"gemini": "gemini-embedding-001", "vertex_ai": "gemini-embedding-001"}

OPENAI: Json = {
    "id": "c",
    "created": 1,
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "logprobs": {"content": [{"token": "Gr", "logprob": -0.1, "bytes": None, "top_logprobs": []}]},
            "message": {
                "role": "assistant",
                "content": "Grüße",
                "refusal": "no",
                "annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}],
                "audio": {"id": "a", "data": SOUND, "expires_at": 1, "transcript": "Grüße"},
                "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                ],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 30,
        "completion_tokens": 4,
        "total_tokens": 34,
        "prompt_tokens_details": {"cached_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 3},
    },
}
SEGMENT: Json = {"startIndex": 0, "endIndex": 7, "text": "Grüße"}
GEMINI: Json = {
    "responseId": "r",
    "candidates": [
        {
            "index": 0,
            "finishReason": "STOP",
            "content": {
                "role": "model",
                "parts": [
                    {"text": "I think.", "thought": True},
                    {"text": "Grüße"},
                    {"executableCode": {"language": "PYTHON", "code": "print(42)"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}},
                    {"inlineData": {"mimeType": "image/png", "data": PICTURE}},
                    {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": SOUND}},
                    {"functionCall": {"id": "t1", "name": "f", "args": {}}, "thoughtSignature": "c2ln"},
                    {"functionCall": {"id": "t2", "name": "g", "args": {}}},
                ],
            },
            "avgLogprobs": -0.1,
            "logprobsResult": {
                "chosenCandidates": [{"token": "Gr", "tokenId": 1, "logProbability": -0.1}],
                "topCandidates": [{"candidates": [{"token": "Gr", "tokenId": 1, "logProbability": -0.1}]}],
            },
            "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}],
            "groundingMetadata": {
                "webSearchQueries": ["q"],
                "groundingChunks": [{"web": {"uri": "https://example.com", "title": "example"}}],
                "groundingSupports": [{"segment": SEGMENT, "groundingChunkIndices": [0]}],
            },
            "urlContextMetadata": {"urlMetadata": [{"retrievedUrl": "https://example.com"}]},
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 30,
        "cachedContentTokenCount": 20,
        "candidatesTokenCount": 1,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 34,
    },
}
WHOLE: Mapping[str, Json] = {"openai": OPENAI, "azure": OPENAI, "gemini": GEMINI, "vertex_ai": GEMINI}

SERVICE_ACCOUNT = (
    '{"type": "service_account", "project_id": "our-project", "client_email": "a@b", "private_key": "none"}'
)


def connection(name: str) -> Connection:
    """An account with everything that a provider may ask for. Nothing is sent with it."""
    if name == "vertex_ai":
        return Connection(
            name,
            api_base=BASE,
            options={"gcs_bucket_name": "our-bucket", "vertex_project": "our-project"},
            secrets={"vertex_credentials": SERVICE_ACCOUNT},
        )
    return Connection(name, api_key=KEYS[name], api_base=BASE)
