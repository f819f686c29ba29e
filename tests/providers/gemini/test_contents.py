"""Messages become contents: roles, calls and results, signatures, what Google demands of a conversation."""

from __future__ import annotations

from typing import Any

import pytest

from providers.errors import InvalidRequest
from providers.gemini import signatures, spec
from providers.gemini.chat_request import to_body
from providers.types import Json
from tests.providers.gemini.build import PNG, answered, body_of, call_of


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def assistant(*calls: Json, text: str | None = None, **more: Any) -> Json:
    message: Json = {"role": "assistant", "content": text, **more}
    return {**message, "tool_calls": list(calls)} if calls else message


def tool_call(call_id: str, name: str = "f", arguments: str = "{}", **more: Any) -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def tool(call_id: str, content: Any) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def contents_of(*messages: Json, model: str = "gemini-3.5-flash", **given: Any) -> list[Json]:
    found: list[Json] = body_of(model, messages=list(messages), **given)["contents"]
    return found


# ---- roles --------------------------------------------------------------------------------------


def test_system_and_developer_messages_are_lifted_wherever_they_stand():
    body = body_of(
        messages=[
            {"role": "system", "content": "One."},
            user("Hi"),
            {
                "role": "developer",
                "content": [{"type": "text", "text": "Two."}, {"type": "text", "text": ""}],
            },
        ]
    )
    assert body["systemInstruction"] == {"parts": [{"text": "One."}, {"text": "Two."}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]


def test_system_alone_is_said_by_the_user_too():
    body = body_of(messages=[{"role": "system", "content": "Say hi"}])
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Say hi"}]}]


@pytest.mark.parametrize("model", ["gemma-3-27b-it", "gemini-2.5-flash-preview-tts"])
def test_models_without_system_instruction_hear_it_in_the_first_turn(model):
    body = body_of(model, messages=[{"role": "system", "content": "Be kind."}, user("Hi")])
    assert "systemInstruction" not in body
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Be kind."}, {"text": "Hi"}]}]


def test_verbatim_speakers_take_the_system_message_as_style():
    body = body_of("gemini-3.8-flash-tts", messages=[{"role": "system", "content": "Cheerful"}, user("Hi")])
    assert body["contents"][0]["parts"] == [{"text": "Hi", "speechMetadata": {"style": "Cheerful"}}]


def test_turns_of_one_role_are_merged_and_empty_ones_skipped():
    assert contents_of(user("a"), user(""), {"role": "assistant", "content": ""}, user("b")) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}
    ]


def test_conversation_that_begins_with_the_model_gets_an_opening():
    found = contents_of(assistant(text="Hello"), user("Hi"))
    assert [content["role"] for content in found] == ["user", "model", "user"]


def test_prefill_is_kept_where_the_model_takes_it_and_followed_by_a_turn_where_not():
    older = contents_of(user("Hi"), assistant(text="He"), model="gemini-2.5-flash")
    assert older[-1] == {"role": "model", "parts": [{"text": "He"}]}
    call = call_of("gemini-3.8-flash", messages=[user("Hi"), assistant(text="He")])
    assert to_body(call)["contents"][-1] == {"role": "user", "parts": [{"text": "Continue."}]}
    assert len(call.warnings) == 1


@pytest.mark.parametrize("content", ["", None, [], [{"type": "text", "text": ""}]])
def test_nothing_to_say_is_refused(content):
    with pytest.raises(InvalidRequest) as raised:
        contents_of({"role": "user", "content": content})
    assert raised.value.param == "messages"


def test_pictures_in_a_system_message_are_refused():
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    with pytest.raises(InvalidRequest) as raised:
        contents_of({"role": "system", "content": [image]}, user("Hi"))
    assert raised.value.param == "messages[0].content"


# ---- calls and results --------------------------------------------------------------------------


def test_missing_results_are_errors_and_results_keep_the_order_of_the_calls():
    found = contents_of(
        user("Hi"),
        assistant(tool_call("a"), tool_call("b", "g"), tool_call("c")),
        tool("c", "3"),
        user("Go on"),
    )
    responses = [part["functionResponse"] for part in found[2]["parts"] if "functionResponse" in part]
    assert responses == [
        {"id": "a", "name": "f", "response": {"error": "no result"}},
        {"id": "b", "name": "g", "response": {"error": "no result"}},
        {"id": "c", "name": "f", "response": {"output": "3"}},
    ]
    assert found[2]["parts"][-1] == {"text": "Go on"}


def test_models_before_gemini_3_get_results_in_a_turn_of_their_own_and_no_ids():
    found = contents_of(
        user("Hi"), assistant(tool_call("a")), tool("a", "{}"), user("Go on"), model="gemini-2.0-flash"
    )
    assert found[1]["parts"] == [{"functionCall": {"name": "f", "args": {}}}]
    assert found[2] == {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}
    assert found[3] == {"role": "user", "parts": [{"text": "Go on"}]}


def test_each_step_of_a_loop_keeps_its_own_results():
    found = contents_of(
        user("Hi"), assistant(tool_call("a")), tool("a", "1"), assistant(tool_call("a")), tool("a", "2")
    )
    assert [content["role"] for content in found] == ["user", "model", "user", "model", "user"]
    assert found[4]["parts"][0]["functionResponse"]["response"] == {"output": "2"}


def test_same_id_twice_in_one_turn_is_answered_in_order():
    found = contents_of(
        user("Hi"), assistant(tool_call("a"), tool_call("a", "g")), tool("a", "1"), tool("a", "2")
    )
    answers = [part["functionResponse"]["response"] for part in found[2]["parts"]]
    assert answers == [{"output": "1"}, {"output": "2"}]


@pytest.mark.parametrize(
    "messages",
    [
        [user("Hi"), tool("a", "1")],
        [user("Hi"), assistant(tool_call("a")), tool("b", "1")],
        [user("Hi"), assistant(tool_call("a")), tool("a", "1"), tool("a", "1")],
    ],
)
def test_results_of_unknown_calls_are_refused(messages):
    with pytest.raises(InvalidRequest) as raised:
        contents_of(*messages)
    assert raised.value.param == f"messages[{len(messages) - 1}].tool_call_id"


@pytest.mark.parametrize(
    ("content", "response"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[1, 2]", {"output": "[1, 2]"}),
        ("{broken", {"output": "{broken"}),
        ("", {"output": ""}),
        (None, {"output": ""}),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {"output": "a\nb"}),
    ],
)
def test_results_become_objects(content, response):
    found = contents_of(user("Hi"), assistant(tool_call("a")), tool("a", content))
    assert found[2]["parts"][0]["functionResponse"]["response"] == response


def test_pictures_in_results_stand_inside_from_gemini_3_on_and_beside_before():
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    messages = [user("Hi"), assistant(tool_call("a")), tool("a", [image])]
    inline = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    assert contents_of(*messages)[2]["parts"][0]["functionResponse"]["parts"] == [inline]
    older = contents_of(*messages, model="gemini-2.5-flash")
    assert "parts" not in older[2]["parts"][0]["functionResponse"]
    assert older[3] == {"role": "user", "parts": [inline]}


@pytest.mark.parametrize(
    ("arguments", "args"),
    [('{"a": 1}', {"a": 1}), ("", {}), ("[1]", {"input": [1]}), ("{oops", {"input": "{oops"})],
)
def test_arguments_become_objects(arguments, args):
    found = contents_of(user("Hi"), assistant(tool_call("a", arguments=arguments)), tool("a", "1"))
    assert found[1]["parts"][0]["functionCall"]["args"] == args


def test_legacy_function_messages_are_matched_by_name():
    found = contents_of(
        user("Hi"),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
        {"role": "function", "name": "f", "content": "7"},
    )
    assert found[1]["parts"][0]["functionCall"] == {"id": "call_f", "name": "f", "args": {"a": 1}}
    assert found[2]["parts"][0]["functionResponse"]["response"] == {"output": "7"}


def test_custom_calls_carry_their_text():
    call = {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    found = contents_of(user("Hi"), assistant(call), tool("a", "1"))
    assert found[1]["parts"][0]["functionCall"]["args"] == {"input": "select 1"}


# ---- signatures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "carrier",
    [
        {"extra_content": {"google": {"thought_signature": "QUJD"}}},
        {"provider_specific_fields": {"thought_signature": "QUJD"}},
    ],
)
def test_signatures_are_taken_from_either_field(carrier):
    found = contents_of(user("Hi"), assistant(tool_call("a", **carrier)), tool("a", "1"))
    assert found[1]["parts"][0]["thoughtSignature"] == "QUJD"


def test_signatures_are_taken_from_the_suffix_of_an_id_and_the_suffix_is_removed():
    found = contents_of(user("Hi"), assistant(tool_call("a__thought__QUJD")), tool("a__thought__QUJD", "1"))
    assert found[1]["parts"][0] == {
        "functionCall": {"id": "a", "name": "f", "args": {}},
        "thoughtSignature": "QUJD",
    }
    assert found[2]["parts"][0]["functionResponse"]["id"] == "a"


def test_lost_signatures_are_replaced_on_the_first_call_of_each_step_alone():
    found = contents_of(
        user("Hi"),
        assistant(tool_call("a"), tool_call("b")),
        tool("a", "1"),
        tool("b", "2"),
        assistant(tool_call("c")),
        tool("c", "3"),
    )
    given = [
        part.get("thoughtSignature")
        for content in found
        for part in content["parts"]
        if "functionCall" in part
    ]
    assert given == [spec.NO_SIGNATURE, None, spec.NO_SIGNATURE]


def test_models_before_gemini_3_get_no_replacement():
    found = contents_of(user("Hi"), assistant(tool_call("a")), tool("a", "1"), model="gemini-2.5-pro")
    assert "thoughtSignature" not in found[1]["parts"][0]


def test_signatures_that_are_no_base64_are_not_sent():
    broken: Json = {"extra_content": {"google": {"thought_signature": "ü!"}}}
    found = contents_of(user("Hi"), assistant(tool_call("a", **broken)), tool("a", "1"))
    assert found[1]["parts"][0]["thoughtSignature"] == spec.NO_SIGNATURE


def test_plain_clients_that_drop_unknown_fields_keep_their_signatures():
    call = {
        "functionCall": {"id": "plain1", "name": "f", "args": {"b": 2, "a": 1}},
        "thoughtSignature": "U0lH",
    }
    answer = {"candidates": [{"content": {"parts": [call]}, "finishReason": "STOP"}]}
    answered(answer, call_of("gemini-3.5-flash"))
    plain = tool_call("plain1", arguments='{"a":1,"b":2}')
    found = contents_of(user("Hi"), assistant(plain), tool("plain1", "1"))
    assert found[1]["parts"][0]["thoughtSignature"] == "U0lH"


def test_remembered_signatures_help_nobody_who_guesses_an_id_and_no_other_model():
    call = {"functionCall": {"id": "guess1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "U0lH"}
    answered({"candidates": [{"content": {"parts": [call]}}]}, call_of("gemini-3.5-flash"))
    for given, model in (('{"a":2}', "gemini-3.5-flash"), ('{"a":1}', "gemini-3.6-flash")):
        found = contents_of(
            user("Hi"), assistant(tool_call("guess1", arguments=given)), tool("guess1", "1"), model=model
        )
        assert found[1]["parts"][0]["thoughtSignature"] == spec.NO_SIGNATURE


def test_memory_of_signatures_is_bounded_and_forgets_the_oldest():
    memory = signatures.LocalSignatures(max_bytes=1000)
    for number in range(100):
        memory.remember(f"id{number}", "A" * 50)
    memory.remember("huge", "A" * 5000)
    assert memory.recall("id0") is None
    assert memory.recall("huge") is None
    assert memory.recall("id99") == "A" * 50


def test_signature_of_a_text_answer_returns_with_the_text():
    signed = assistant(text="Hello", extra_content={"google": {"thought_signature": "QUJD"}})
    found = contents_of(user("Hi"), signed, user("Go on"))
    assert found[1]["parts"] == [{"text": "Hello", "thoughtSignature": "QUJD"}]


def test_pictures_of_the_model_return_as_pictures_with_their_signature():
    image = {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{PNG}"},
        "extra_content": {"google": {"thought_signature": "QUJD"}},
    }
    found = contents_of(user("Draw"), assistant(text="", images=[image]), user("Bluer"))
    assert found[1]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": PNG}, "thoughtSignature": "QUJD"}
    ]


def test_what_googles_own_tools_did_returns_to_google():
    parts = [
        {
            "toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "s", "args": {"q": 1}},
            "thoughtSignature": "QQ==",
        },
        {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "id": "s", "response": {"r": 2}}},
        {"text": "Done"},
    ]
    answer = answered({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]})
    message = answer["choices"][0]["message"]
    found = contents_of(user("Hi"), message, user("Go on"))
    assert found[1]["parts"] == parts
