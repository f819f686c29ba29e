"""Parameters: what each becomes, what a model lacks, and that nothing vanishes in silence."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers.errors import InvalidRequest, UnsupportedParameter
from providers.gemini import PROVIDER, spec
from providers.gemini.chat_request import to_body
from providers.gemini.dialect import AI_STUDIO, Dialect
from providers.types import Connection, Json
from tests.providers.gemini.build import CONNECTION, body_of, call_of, config_of

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}


# ---- generationConfig ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temperature": 0.2, "top_p": 0.9, "top_k": 5}, {"temperature": 0.2, "topP": 0.9, "topK": 5}),
        ({"topK": 1}, {"topK": 1}),
        ({"max_tokens": 5}, {"maxOutputTokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, {"maxOutputTokens": 7}),
        ({"n": 3}, {"candidateCount": 3}),
        ({"n": 1}, {}),
        ({"stop": "END"}, {"stopSequences": ["END"]}),
        ({"stop": ["a", "", "b"]}, {"stopSequences": ["a", "b"]}),
        ({"seed": 7}, {"seed": 7}),
        ({"presence_penalty": 1, "frequency_penalty": -1}, {"presencePenalty": 1, "frequencyPenalty": -1}),
        ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
        ({"logprobs": False}, {}),
        ({"modalities": ["text"]}, {}),
        ({"modalities": ["image", "text"]}, {"responseModalities": ["IMAGE", "TEXT"]}),
        ({"image_config": {"aspectRatio": "1:1"}}, {"imageConfig": {"aspectRatio": "1:1"}}),
        ({"mediaResolution": "MEDIA_RESOLUTION_LOW"}, {"mediaResolution": "MEDIA_RESOLUTION_LOW"}),
        ({"max_output_tokens": 9}, {"maxOutputTokens": 9}),
        ({"generationConfig": {"top_k": 2, "topP": 0.5}}, {"topK": 2, "topP": 0.5}),
        ({"extra_body": {"topK": 3}}, {"topK": 3}),
        (
            {"extra_body": {"google": {"thinking_config": {"thinking_budget": 0}}}},
            {"thinkingConfig": {"thinkingBudget": 0}},
        ),
        ({"temperature": None, "stop": None}, {}),
    ],
)
def test_generation_parameters_become_googles(given, expected):
    assert config_of("gemini-2.5-flash", **given) == expected


def test_too_many_stop_sequences_and_candidates_are_refused():
    with pytest.raises(InvalidRequest) as raised:
        body_of(stop=list("abcdef"))
    assert raised.value.param == "stop"
    with pytest.raises(InvalidRequest) as raised:
        body_of(n=9)
    assert raised.value.param == "n"


@pytest.mark.parametrize(
    ("model", "name", "value", "nothing"),
    [
        ("gemini-3.8-flash", "temperature", 0.3, 1),
        ("gemini-3.6-flash", "top_p", 0.3, 1),
        ("gemini-3.5-flash-lite", "top_k", 4, None),
        ("gemini-3.5-flash", "n", 2, 1),
        ("gemini-3.5-flash", "presence_penalty", 1, 0),
        ("gemini-3.1-pro-preview", "frequency_penalty", 1, 0),
        ("gemini-2.0-flash", "reasoning_effort", "low", "none"),
        ("gemini-2.5-flash", "audio", {"voice": "alloy", "format": "wav"}, None),
        ("gemini-2.5-flash", "modalities", ["text", "audio"], ["text"]),
        ("gemini-2.5-flash", "logit_bias", {"1": 1}, {}),
        ("gemini-2.5-flash", "prediction", {"type": "content", "content": "x"}, None),
        ("gemini-2.5-flash", "verbosity", "high", "medium"),
        ("gemini-2.5-flash", "service_tier", "scale", "auto"),
        ("gemini-2.5-flash", "labels", {"a": "b"}, None),
        ("gemini-2.5-flash", "no_such_thing", 1, None),
        ("gemini-2.5-flash", "contents", [{"parts": []}], None),
        ("gemini-2.5-flash", "generationConfig", {"noSuchField": 1}, {}),
    ],
)
def test_what_a_model_lacks_is_refused_or_dropped_by_name_and_its_empty_value_is_nothing(
    model, name, value, nothing
):
    with pytest.raises(UnsupportedParameter) as raised:
        body_of(model, **{name: value})
    assert raised.value.param is not None
    assert raised.value.param.startswith(name)
    call = call_of(model, drop=True, **{name: value})
    plain = to_body(call_of(model))
    assert to_body(call) == plain
    assert len(call.warnings) == 1
    assert name in call.warnings[0]
    quiet = call_of(model, **{name: nothing})
    assert to_body(quiet) == plain
    assert quiet.warnings == []


def test_hints_are_left_out_with_a_warning_and_never_refused():
    call = call_of(user="u1", safety_identifier="s", prompt_cache_key="k", store=True, metadata={"a": "b"})
    assert to_body(call) == to_body(call_of())
    assert len(call.warnings) == 4


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", "hot"), ("stop", 3), ("tools", "x"), ("thinkingConfig", [])]
)
def test_wrong_types_are_the_callers_fault(name, value):
    with pytest.raises(InvalidRequest) as raised:
        body_of(**{name: value})
    assert raised.value.param == name


def test_what_json_cannot_hold_is_the_callers_fault():
    for text in ("\ud800", "a\udfff"):
        with pytest.raises(InvalidRequest):
            PROVIDER.to_chat(CONNECTION, call_of(messages=[{"role": "user", "content": text}]))
    with pytest.raises(InvalidRequest):
        PROVIDER.to_chat(CONNECTION, call_of(seed=10**40))


# ---- thinking -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("gemini-2.5-flash", "disable", 0),
        ("gemini-2.5-flash", "none", 0),
        ("gemini-2.5-flash", "minimal", 1),
        ("gemini-2.5-flash-preview-04-17", "low", 1024),
        ("gemini-2.5-flash", "medium", 2048),
        ("gemini-2.5-flash", "high", 4096),
        ("gemini-2.5-flash", "max", 16384),
        ("gemini-2.5-pro", "disable", 128),
        ("gemini-2.5-pro", "minimal", 128),
        ("gemini-2.5-flash-lite", "minimal", 512),
        ("gemini-3.8-flash", "none", "LOW"),
        ("gemini-3.8-flash", "minimal", "LOW"),
        ("gemini-3.7-flash", "low", "LOW"),
        ("gemini-3.6-flash", "minimal", "MINIMAL"),
        ("gemini-3.5-flash", "medium", "MEDIUM"),
        ("gemini-3.1-flash-lite", "disable", "MINIMAL"),
        ("gemini-3-flash-preview", "minimal", "MINIMAL"),
        ("gemini-3.1-pro-preview", "xhigh", "HIGH"),
        ("gemini-3-pro-preview", "medium", "HIGH"),
        ("gemini-3.1-flash-lite-image", "low", "HIGH"),
        ("gemini-flash-latest", "minimal", "LOW"),
        ("gemini-4-ultra", "high", "HIGH"),
    ],
)
def test_effort_becomes_what_the_model_knows(model, effort, expected):
    config = config_of(model, reasoning_effort=effort)["thinkingConfig"]
    field = "thinkingBudget" if isinstance(expected, int) else "thinkingLevel"
    assert config[field] == expected
    assert config["includeThoughts"] is (effort not in ("none", "disable"))
    assert len(config) == 2


@pytest.mark.parametrize(
    ("model", "thinking", "expected", "warnings"),
    [
        (
            "gemini-2.5-flash",
            {"type": "enabled", "budget_tokens": 1024},
            {"thinkingBudget": 1024, "includeThoughts": True},
            0,
        ),
        (
            "gemini-2.5-flash",
            {"type": "enabled", "budget_tokens": 99999},
            {"thinkingBudget": 24576, "includeThoughts": True},
            1,
        ),
        (
            "gemini-2.5-pro",
            {"type": "enabled", "budget_tokens": 5},
            {"thinkingBudget": 128, "includeThoughts": True},
            1,
        ),
        (
            "gemini-2.5-flash",
            {"type": "enabled", "budget_tokens": 0},
            {"thinkingBudget": 0, "includeThoughts": False},
            0,
        ),
        ("gemini-2.5-pro", {"type": "disabled"}, {"thinkingBudget": 128, "includeThoughts": False}, 1),
        ("gemini-2.5-flash", {"type": "enabled"}, {"includeThoughts": True}, 0),
        (
            "gemini-3.5-flash",
            {"type": "enabled", "budget_tokens": 2000},
            {"thinkingLevel": "MEDIUM", "includeThoughts": True},
            1,
        ),
        ("gemini-3.8-flash", {"type": "disabled"}, {"thinkingLevel": "LOW", "includeThoughts": False}, 0),
    ],
)
def test_thinking_object_becomes_what_the_model_knows(model, thinking, expected, warnings):
    call = call_of(model, thinking=thinking)
    assert to_body(call)["generationConfig"]["thinkingConfig"] == expected
    assert len(call.warnings) == warnings


def test_own_thinking_config_passes_and_contradicts_the_others():
    own = {"thinking_level": "low", "include_thoughts": True}
    assert config_of("gemini-3.5-flash", thinking_config=own)["thinkingConfig"] == {
        "thinkingLevel": "LOW",
        "includeThoughts": True,
    }
    with pytest.raises(InvalidRequest):
        config_of("gemini-3.5-flash", thinkingConfig=own, reasoning_effort="low")
    with pytest.raises(InvalidRequest):
        config_of("gemini-3.5-flash", thinkingConfig={"noSuch": 1})
    with pytest.raises(InvalidRequest):
        config_of("gemini-3.5-flash", reasoning_effort="extreme")


# ---- response_format ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "response_format", "expected"),
    [
        ("gemini-2.5-flash", {"type": "text"}, {}),
        ("gemini-2.5-flash", {"type": "json_object"}, {"responseMimeType": "application/json"}),
        (
            "gemini-2.5-flash",
            {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}},
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        ),
        (
            "gemini-2.5-flash",
            {"type": "json_object", "response_schema": SCHEMA, "enforce_validation": True},
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        ),
        (
            "gemini-1.5-pro",
            {"type": "json_object", "response_schema": SCHEMA},
            {
                "responseMimeType": "application/json",
                "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}},
            },
        ),
    ],
)
def test_response_format_becomes_mime_type_and_schema(model, response_format, expected):
    assert config_of(model, response_format=response_format) == expected


def test_json_mode_and_functions_together_need_gemini_3():
    given: Json = {"response_format": {"type": "json_object"}, "tools": [FUNCTION]}
    assert "responseMimeType" in config_of("gemini-3.5-flash", **given)
    with pytest.raises(UnsupportedParameter) as raised:
        body_of("gemini-2.5-flash", **given)
    assert raised.value.param == "response_format"


# ---- speech -------------------------------------------------------------------------------------


def test_speech_models_speak_with_the_voice_that_is_nearest():
    given: Json = {"modalities": ["audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
    assert config_of("gemini-2.5-flash-preview-tts", **given) == {
        "responseModalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    }
    given["audio"]["voice"] = "Charon"
    config = config_of("gemini-2.5-pro-preview-tts", temperature=0.7, max_tokens=150, **given)
    assert config["speechConfig"]["voiceConfig"] == {"prebuiltVoiceConfig": {"voiceName": "Charon"}}
    assert config["temperature"] == 0.7
    assert config_of("gemini-2.5-flash-preview-tts") == {"responseModalities": ["AUDIO"]}


def test_several_speakers_pass_as_they_are():
    speech = {"multiSpeakerVoiceConfig": {"speakerVoiceConfigs": [{"speaker": "A"}, {"speaker": "B"}]}}
    assert config_of("gemini-2.5-flash-preview-tts", audio={"speechConfig": speech})["speechConfig"] == speech
    assert config_of("gemini-2.5-flash-preview-tts", speech_config=speech)["speechConfig"] == speech


def test_other_audio_formats_are_refused_and_new_models_are_told_theirs():
    with pytest.raises(UnsupportedParameter) as raised:
        config_of("gemini-2.5-flash-preview-tts", audio={"voice": "Kore", "format": "mp3"})
    assert raised.value.param == "audio.format"
    with pytest.raises(UnsupportedParameter):
        config_of("gemini-2.5-flash-preview-tts", audio={"voice": "Kore", "format": "wav"}, stream=True)
    assert config_of("gemini-3.8-flash-tts", audio={"voice": "Kore", "format": "wav"})["responseFormat"] == [
        {"audio": {"mimeType": "AUDIO_WAV"}}
    ]


# ---- tools --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ({"googleSearch": {}}, {"googleSearch": {}}),
        ({"google_search": {}}, {"googleSearch": {}}),
        ({"googleSearchRetrieval": {"dynamicRetrievalConfig": {}}}, {"googleSearch": {}}),
        ({"type": "web_search"}, {"googleSearch": {}}),
        ({"type": "web_search_preview_2025_03_11", "search_context_size": "low"}, {"googleSearch": {}}),
        ({"urlContext": {}}, {"urlContext": {}}),
        ({"url_context": {}}, {"urlContext": {}}),
        ({"type": "url_context"}, {"urlContext": {}}),
        ({"codeExecution": {}}, {"codeExecution": {}}),
        ({"code_execution": {}}, {"codeExecution": {}}),
        (
            {"type": "computer_use", "environment": "browser", "excluded_predefined_functions": ["x"]},
            {"computerUse": {"environment": "ENVIRONMENT_BROWSER", "excludedPredefinedFunctions": ["x"]}},
        ),
        (
            {"computerUse": {"environment": "ENVIRONMENT_BROWSER"}},
            {"computerUse": {"environment": "ENVIRONMENT_BROWSER"}},
        ),
    ],
)
def test_built_in_tools_are_known_in_either_spelling(tool, expected):
    assert body_of("gemini-2.5-flash", tools=[tool])["tools"] == [expected]


def test_maps_take_their_place_along():
    tool = {"googleMaps": {"latitude": 1.5, "longitude": 2, "languageCode": "de", "enableWidget": True}}
    body = body_of(tools=[tool])
    assert body["tools"] == [{"googleMaps": {"enableWidget": True}}]
    assert body["toolConfig"] == {
        "retrievalConfig": {"latLng": {"latitude": 1.5, "longitude": 2}, "languageCode": "de"}
    }
    with pytest.raises(InvalidRequest):
        body_of(tools=[{"googleMaps": {"latitude": 1}}])


def test_web_search_options_ask_for_googles_search():
    call = call_of(web_search_options={"search_context_size": "high"})
    assert to_body(call)["tools"] == [{"googleSearch": {}}]
    assert len(call.warnings) == 1


@pytest.mark.parametrize(
    "tool",
    [
        {"enterpriseWebSearch": {}},
        {"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/neighbour"]}},
        {"mcpServers": []},
        {"type": "hologram"},
        {"foo": {}},
        {},
    ],
)
def test_tools_that_are_not_to_be_had_are_refused_or_dropped_by_name(tool):
    with pytest.raises(UnsupportedParameter) as raised:
        body_of(tools=[tool])
    assert raised.value.param == "tools[0]"
    call = call_of(drop=True, tools=[tool])
    assert "tools" not in to_body(call)
    assert len(call.warnings) == 1


def test_all_functions_share_one_tool_and_empty_ones_have_no_parameters():
    body = body_of(
        tools=[
            {"type": "function", "function": {"name": "a", "description": "does a"}},
            {
                "type": "function",
                "function": {"name": "b", "parameters": {"type": "object", "properties": {}}},
            },
            {"type": "custom", "custom": {"name": "c", "description": "runs sql"}},
            FUNCTION,
        ]
    )
    declared = body["tools"][0]["functionDeclarations"]
    assert declared[0] == {"name": "a", "description": "does a"}
    assert declared[1] == {"name": "b"}
    assert declared[2]["parameters"]["properties"] == {"input": {"type": "STRING"}}
    assert declared[3] == {"name": "f", "parametersJsonSchema": SCHEMA}
    assert len(body["tools"]) == 1


def test_old_models_get_the_openapi_form():
    declared = body_of("gemini-2.0-flash", tools=[FUNCTION])["tools"][0]["functionDeclarations"]
    assert declared == [
        {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}}}
    ]


def test_legacy_functions_and_function_call_are_understood():
    body = body_of(functions=[{"name": "f", "parameters": SCHEMA}], function_call={"name": "f"})
    assert body["tools"][0]["functionDeclarations"][0]["name"] == "f"
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}


@pytest.mark.parametrize("name", ["1st", "-x", "a b", "ä", "x" * 129])
def test_function_names_that_google_refuses_are_refused_here(name):
    with pytest.raises(InvalidRequest) as raised:
        body_of(tools=[{"type": "function", "function": {"name": name}}])
    assert raised.value.param == "tools[0].function.name"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [FUNCTION]}},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_tool_choice_becomes_a_mode(choice, expected):
    body = body_of(tools=[FUNCTION], tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": expected}


def test_old_models_only_see_the_allowed_functions():
    other = {"type": "function", "function": {"name": "g"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}}
    body = body_of("gemini-2.0-flash", tools=[FUNCTION, other], tool_choice=choice)
    assert [item["name"] for item in body["tools"][0]["functionDeclarations"]] == ["f"]


@pytest.mark.parametrize(
    ("choice", "tools"),
    [
        ("required", []),
        ({"type": "function", "function": {"name": "g"}}, [FUNCTION]),
        ("sometimes", [FUNCTION]),
        ({"type": "mcp", "mcp": {}}, [FUNCTION]),
    ],
)
def test_choices_that_cannot_be_met_are_refused(choice, tools):
    with pytest.raises(InvalidRequest) as raised:
        body_of(tools=tools, tool_choice=choice)
    assert raised.value.param == "tool_choice"


def test_functions_next_to_search_need_gemini_3_which_is_told_so():
    tools = [FUNCTION, {"googleSearch": {}}]
    body = body_of("gemini-3.5-flash", tools=tools, tool_choice="auto")
    assert [next(iter(tool)) for tool in body["tools"]] == ["functionDeclarations", "googleSearch"]
    assert body["toolConfig"] == {"includeServerSideToolInvocations": True}
    with pytest.raises(UnsupportedParameter):
        body_of("gemini-2.5-flash", tools=tools)
    call = call_of("gemini-2.5-flash", drop=True, tools=tools)
    assert [next(iter(tool)) for tool in to_body(call)["tools"]] == ["functionDeclarations"]
    assert "googleSearch" in call.warnings[0]


def test_no_parallel_calls_is_promised_in_a_warning():
    call = call_of(tools=[FUNCTION], parallel_tool_calls=False)
    assert "parallel_tool_calls" not in to_body(call)
    assert "parallel_tool_calls" in call.warnings[0]
    assert call_of(tools=[FUNCTION], parallel_tool_calls=True).warnings == []


# ---- the rest of the body -----------------------------------------------------------------------


def test_safety_settings_pass_in_either_spelling_and_are_checked():
    given = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    assert body_of(safety_settings=given)["safetySettings"] == given
    assert body_of(safetySettings=given)["safetySettings"] == given
    for broken in (given * 2, [{"category": "X", "threshold": "OFF"}], [{"category": given[0]["category"]}]):
        with pytest.raises(InvalidRequest):
            body_of(safety_settings=broken)


@pytest.mark.parametrize(
    ("tier", "expected"),
    [("flex", "flex"), ("priority", "priority"), ("default", "standard"), ("auto", None)],
)
def test_service_tier_is_renamed(tier, expected):
    assert body_of(service_tier=tier).get("serviceTier") == expected


def test_named_cache_excludes_what_it_holds():
    assert body_of(cached_content="cachedContents/x")["cachedContent"] == "cachedContents/x"
    with pytest.raises(UnsupportedParameter):
        body_of(cached_content="cachedContents/x", tools=[FUNCTION])


def test_labels_are_for_hosts_that_have_them():
    host = Dialect(
        title="Host",
        generation_fields=AI_STUDIO.generation_fields,
        built_in_tools=AI_STUDIO.built_in_tools | {"enterpriseWebSearch"},
        takes_labels=True,
        takes_server_tools=False,
        takes_url=AI_STUDIO.takes_url,
        normal_type=AI_STUDIO.normal_type,
    )
    given = call_of(metadata={"team": "blue", "Bad Key": "x", "n": 1}, tools=[{"enterprise_web_search": {}}])
    body = to_body(given, host)
    assert body["labels"] == {"team": "blue"}
    assert body["tools"] == [{"enterpriseWebSearch": {}}]


@pytest.mark.parametrize(
    ("api_base", "api_version", "expected"),
    [
        (None, None, "https://generativelanguage.googleapis.com/v1beta"),
        (None, "v1", "https://generativelanguage.googleapis.com/v1"),
        ("http://127.0.0.1:9", None, "http://127.0.0.1:9/v1beta"),
        ("http://127.0.0.1:9/v1beta/", "v1", "http://127.0.0.1:9/v1beta"),
        ("http://127.0.0.1:9/gemini/v1", None, "http://127.0.0.1:9/gemini/v1"),
        ("http://v1", None, "http://v1/v1beta"),
    ],
)
def test_version_may_stand_in_the_base(api_base, api_version, expected):
    connection = Connection("gemini", api_key="k", api_base=api_base, api_version=api_version)
    request = PROVIDER.to_chat(connection, call_of("gemini-2.5-flash"))
    assert request.url == f"{expected}/models/gemini-2.5-flash:generateContent"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("tunedModels/mine", "tunedModels/mine"),
        ("../files/x?y#z", "models/..%2Ffiles%2Fx%3Fy%23z"),
    ],
)
def test_models_stay_in_their_place_and_the_key_out_of_the_address(model, path):
    request = PROVIDER.to_chat(CONNECTION, call_of(model, stream=True))
    assert request.url == (
        f"https://generativelanguage.googleapis.com/v1beta/{path}:streamGenerateContent?alt=sse"
    )
    assert "AIza" not in request.url
    assert "AIza" not in repr(request)
    assert isinstance(request.body, bytes)
    assert "model" not in orjson.loads(request.body)


@pytest.mark.parametrize("model", ["", "..", "models/..", "a b", "a\r\nb"])
def test_malformed_models_are_refused(model):
    with pytest.raises(InvalidRequest):
        PROVIDER.to_chat(CONNECTION, call_of(model))


@pytest.mark.parametrize(
    ("model", "generation"),
    [
        ("gemini-2.5-flash-lite-preview-09-2025", (2, 5)),
        ("gemini-1.5-flash-001", (1, 5)),
        ("gemini-3-pro-preview", (3, 0)),
        ("models/gemini-2.0-flash", (2, 0)),
        ("gemini-pro", (1, 0)),
        ("gemini-pro-vision", (1, 0)),
        ("gemini-flash-latest", spec.NEWEST),
        ("gemini-exp-1206", (1, 0)),
        ("tunedModels/x", spec.NEWEST),
    ],
)
def test_generation_is_read_from_the_name(model, generation):
    assert spec.generation_of(model) == generation


def test_first_seed_snippet_of_audio_is_answered_with_text_when_parameters_may_be_dropped():
    given: dict[str, Any] = {
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "wav"},
        "drop_params": True,
    }
    call = call_of("gemini-2.0-flash", drop=True, **given)
    assert "generationConfig" not in to_body(call)
    assert len(call.warnings) == 2
