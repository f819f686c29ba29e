"""Whatever JSON a caller or a provider sends, the outcome is an answer or an error of ours."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import CallerError, PorticoError, UpstreamError
from providers.gemini import PROVIDER
from providers.types import ChatCall, HttpResponse, InlineFile, Json
from tests.providers.gemini.build import CONNECTION, call_of

SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 2**65) | st.floats(allow_nan=False) | st.text(max_size=6)
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def either(known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly the right shape, at times anything at all."""
    return st.one_of(known, known, known, ANY)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional={name: either(value) for name, value in fields.items()})


WORD = st.sampled_from(
    ["", "f", "file-1", "data:image/png;base64,iVBORw0KGgo=", "gs://b/x.pdf", "low", "{}", "a"]
)

# ---- what callers send --------------------------------------------------------------------------

HOLDER = objects(
    url=WORD, file_id=WORD, file_data=WORD, data=WORD, format=WORD, detail=WORD, video_metadata=ANY
)
PART = objects(
    type=st.sampled_from(["text", "file", "image_url", "input_audio", "input_file", "refusal"]),
    text=WORD,
    file=HOLDER,
    image_url=HOLDER,
    input_audio=HOLDER,
    file_id=WORD,
    cache_control=ANY,
)
FUNCTION = objects(name=WORD, arguments=WORD, description=WORD, parameters=ANY)
TOOL_CALL = objects(
    id=WORD,
    type=st.sampled_from(["function", "custom"]),
    function=FUNCTION,
    custom=objects(name=WORD, input=WORD),
    extra_content=objects(google=objects(thought_signature=WORD)),
    provider_specific_fields=ANY,
)
MESSAGE = objects(
    role=st.sampled_from(["user", "assistant", "system", "tool", "function", "developer"]),
    content=WORD | st.lists(either(PART), max_size=3),
    tool_calls=st.lists(either(TOOL_CALL), max_size=2),
    tool_call_id=WORD,
    name=WORD,
    function_call=FUNCTION,
    images=st.lists(either(PART), max_size=2),
    provider_specific_fields=objects(
        server_side_tool_invocations=st.lists(ANY, max_size=2), thought_signatures=ANY
    ),
)
TOOL = objects(
    type=WORD | st.sampled_from(["function", "custom", "web_search", "computer_use"]),
    function=FUNCTION,
    custom=objects(name=WORD),
    googleSearch=ANY,
    googleMaps=objects(latitude=ANY, longitude=ANY),
    functionDeclarations=st.lists(FUNCTION, max_size=2),
    code_execution=ANY,
    computerUse=objects(environment=ANY, excluded_predefined_functions=ANY),
)
BODY = objects(
    messages=st.lists(either(MESSAGE), max_size=4),
    tools=st.lists(either(TOOL), max_size=2),
    functions=ANY,
    tool_choice=objects(type=WORD, function=FUNCTION, allowed_tools=objects(mode=WORD, tools=ANY)),
    response_format=objects(
        type=st.sampled_from(["json_schema", "json_object", "text"]),
        response_schema=ANY,
        json_schema=objects(schema=ANY),
    ),
    reasoning_effort=WORD,
    thinking=objects(type=WORD, budget_tokens=ANY),
    thinkingConfig=ANY,
    audio=ANY,
    modalities=ANY,
    stop=ANY,
    safety_settings=ANY,
    generationConfig=ANY,
    extra_body=ANY,
    labels=ANY,
    metadata=ANY,
    toolConfig=ANY,
    cached_content=ANY,
    service_tier=ANY,
    n=ANY,
    logprobs=ANY,
    top_logprobs=ANY,
    topK=ANY,
    parallel_tool_calls=ANY,
    stream=ANY,
)
MODELS = st.sampled_from(
    ["gemini-3.8-flash", "gemini-2.5-pro", "gemini-2.0-flash", "gemini-2.5-flash-preview-tts"]
)


@settings(max_examples=300, deadline=None)
@given(body=BODY, model=MODELS, drop=st.booleans())
def test_any_request_is_built_or_refused(body: Json, model: str, drop: bool):
    files = {"file-1": InlineFile(b"x", "application/pdf", "x.pdf")}
    try:
        request = PROVIDER.to_chat(CONNECTION, ChatCall(model, "public", body, files, drop))
    except CallerError:
        return
    assert isinstance(request.body, bytes)
    assert orjson.loads(request.body)["contents"]


SCHEMA = st.recursive(
    objects(
        type=st.sampled_from(["object", "array", "string", "null", ["string", "null"], "integer"]),
        enum=st.lists(ANY, max_size=2),
        const=ANY,
        format=ANY,
    ),
    lambda inner: objects(
        properties=st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
        items=inner,
        anyOf=st.lists(inner, max_size=2),
        allOf=st.lists(inner, max_size=2),
        oneOf=st.lists(inner, max_size=2),
        required=st.lists(either(WORD), max_size=2),
        additionalProperties=inner,
        exclusiveMinimum=ANY,
        type=st.sampled_from(["object", "array", "integer"]),
    ),
    max_leaves=6,
)
REFERENCES = st.sampled_from(["#/$defs/A", "#", "x", "#/properties/a", "#/$defs/A/items"])


@settings(max_examples=200, deadline=None)
@given(schema=SCHEMA, defined=SCHEMA, reference=REFERENCES, model=MODELS)
def test_any_schema_is_translated_or_refused(schema: Any, defined: Any, reference: str, model: str):
    whole = {"$defs": {"A": defined}, "properties": {"a": schema, "b": {"$ref": reference}}, "type": "object"}
    wanted = {"type": "json_object", "response_schema": whole}
    tools = [{"type": "function", "function": {"name": "f", "parameters": whole}}]
    try:
        request = PROVIDER.to_chat(CONNECTION, call_of(model, drop=True, tools=tools, response_format=wanted))
    except CallerError:
        return
    assert request.body


# ---- what providers send ------------------------------------------------------------------------

BLOB = objects(mimeType=st.sampled_from(["image/png", "audio/L16;rate=24000", "text/x"]), data=WORD)
GEMINI_PART = objects(
    text=WORD,
    thought=st.booleans(),
    thoughtSignature=WORD,
    inlineData=BLOB,
    functionCall=objects(
        name=WORD,
        args=ANY,
        id=WORD,
        willContinue=st.booleans(),
        partialArgs=st.lists(
            objects(jsonPath=st.sampled_from(["$.a", "$.a[0]", "x"]), stringValue=WORD), max_size=2
        ),
    ),
    executableCode=objects(language=WORD, code=WORD),
    codeExecutionResult=objects(outcome=WORD, output=WORD),
    toolCall=objects(id=WORD, toolType=WORD, args=ANY),
    toolResponse=objects(id=WORD, response=ANY),
)
GROUNDING = objects(
    groundingChunks=st.lists(objects(web=objects(uri=WORD, title=WORD)), max_size=2),
    groundingSupports=st.lists(
        objects(
            segment=objects(startIndex=st.integers(-2, 9), endIndex=ANY, text=WORD), groundingChunkIndices=ANY
        ),
        max_size=2,
    ),
)
CANDIDATE = objects(
    content=objects(parts=st.lists(either(GEMINI_PART), max_size=3)),
    index=ANY,
    finishMessage=ANY,
    finishReason=st.sampled_from(["STOP", "SAFETY", "MALFORMED_FUNCTION_CALL", "NEW"]),
    groundingMetadata=GROUNDING,
    logprobsResult=objects(chosenCandidates=ANY, topCandidates=ANY),
    safetyRatings=ANY,
)
ANSWER = objects(
    candidates=st.lists(either(CANDIDATE), max_size=3),
    usageMetadata=objects(promptTokenCount=ANY, totalTokenCount=ANY),
    promptFeedback=objects(blockReason=WORD),
    responseId=ANY,
    createTime=ANY,
    modelVersion=ANY,
    error=objects(code=ANY, message=WORD, details=ANY),
)


@settings(max_examples=300, deadline=None)
@given(answer=either(ANSWER))
def test_any_answer_is_read_or_is_an_upstream_error(answer: Any):
    try:
        completion = PROVIDER.from_chat(call_of(), HttpResponse(200, {}, json.dumps(answer).encode()))
    except PorticoError:
        return
    assert completion["choices"]
    orjson.dumps(completion)


@settings(max_examples=200, deadline=None)
@given(answers=st.lists(either(ANSWER), max_size=4), cut=st.integers(1, 40))
def test_any_stream_is_read_or_is_an_upstream_error(answers: list[Any], cut: int):
    data = b"".join(b"data: " + json.dumps(answer).encode() + b"\n\n" for answer in answers)
    reader = PROVIDER.open_stream(call_of(stream=True))
    try:
        chunks = [chunk for at in range(0, len(data), cut) for chunk in reader.feed(data[at : at + cut])]
        chunks += reader.finish()
    except PorticoError:
        return
    assert chunks[-1]["choices"][0]["finish_reason"]


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), status=st.integers(300, 599))
def test_any_bytes_are_read_or_are_an_upstream_error(data: bytes, status: int):
    for read in (
        lambda: PROVIDER.from_chat(call_of(), HttpResponse(200, {}, data)),
        lambda: PROVIDER.open_stream(call_of()).feed(data + b"\n\n"),
    ):
        try:
            read()
        except UpstreamError:
            pass
    assert PROVIDER.from_error(HttpResponse(status, {}, data)).message


@settings(max_examples=100, deadline=None)
@given(
    error=either(
        objects(error=objects(code=ANY, message=WORD, status=ANY, details=st.lists(ANY, max_size=3)))
    )
)
def test_any_error_body_is_an_error(error: Any):
    for status in (400, 403, 404, 429, 500):
        assert PROVIDER.from_error(HttpResponse(status, {}, json.dumps(error).encode())).to_body()
