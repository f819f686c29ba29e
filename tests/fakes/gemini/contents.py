"""What Gemini asks of a conversation: roles, parts, calls and answers, thought signatures.

https://ai.google.dev/gemini-api/docs/function-calling and https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

from tests.fakes.gemini.errors import GeminiError, invalid
from tests.fakes.gemini.models import Model
from tests.fakes.gemini.shapes import decoded

DATA_FIELDS = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
SIGNATURE_OPENING = b"fake-thought:"
DUMMY_SIGNATURES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
ACCEPTED_DUMMIES = frozenset(DUMMY_SIGNATURES) | {
    base64.b64encode(dummy.encode()).decode() for dummy in DUMMY_SIGNATURES
}

Turn = dict[str, Any]


def check_contents(
    model: Model, contents: list[Turn], *, check_signatures: bool, require_call_ids: bool
) -> None:
    if not contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified\n", field="contents")
    for number, turn in enumerate(contents):
        _check_turn(turn, number)
    if _role(contents[0]) != "user":
        raise invalid(
            "Please ensure that multiturn requests start with a user turn.", field="contents[0].role"
        )
    if model.wants_last_user and _role(contents[-1]) != "user":
        raise invalid(
            "Please ensure that the last turn is a user turn: this model does not continue a model turn.",
            field=f"contents[{len(contents) - 1}].role",
        )
    _check_calls(model, contents, require_call_ids=require_call_ids)
    if model.signs_thoughts:
        _check_signatures(contents, genuine=check_signatures)


def check_system(content: Turn) -> None:
    parts = content.get("parts") or []
    if not parts:
        raise invalid("system_instruction.parts must not be empty.", field="system_instruction.parts")
    for number, part in enumerate(parts):
        if set(part) - {"text"} or not part.get("text"):
            raise invalid(
                "System instructions only support non-empty text.",
                field=f"system_instruction.parts[{number}]",
            )


def _check_turn(turn: Turn, number: int) -> None:
    where = f"contents[{number}]"
    if _role(turn) not in ("user", "model"):
        raise invalid("Please use a valid role: user, model.", field=f"{where}.role")
    parts = turn.get("parts") or []
    if not parts:
        raise invalid(
            f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.\n",
            field=f"{where}.parts",
        )
    for index, part in enumerate(parts):
        place = f"{where}.parts[{index}]"
        data = [name for name in DATA_FIELDS if name in part]
        if not data:
            raise invalid(
                f"* GenerateContentRequest.{place}.data: required oneof field 'data' must have one "
                "initialized field\n",
                field=place,
            )
        if len(data) > 1:
            raise invalid(
                f"Invalid value at '{place}' (oneof), oneof field 'data' is already set. Cannot set "
                f"'{data[1]}'",
                field=place,
            )
        # An empty text may carry the signature that ended a stream; nothing else may be empty.
        if data == ["text"] and not part["text"] and not part.get("thoughtSignature"):
            raise invalid("Unable to submit request because it has an empty text parameter.", field=place)
        _check_by_role(_role(turn), data[0], part, place)


def _check_by_role(role: str, kind: str, part: Turn, place: str) -> None:
    if kind == "functionCall":
        if role != "model":
            raise invalid("Function calls belong to the model role.", field=place)
        if not part[kind].get("name"):
            raise invalid("function_call.name: Name cannot be empty.", field=f"{place}.function_call.name")
    if kind == "functionResponse":
        if role != "user":
            raise invalid("Function responses belong to the user role.", field=place)
        if not part[kind].get("name"):
            raise invalid(
                "function_response.name: Name cannot be empty.", field=f"{place}.function_response.name"
            )
        if "response" not in part[kind]:
            raise invalid(
                "function_response.response is missing.", field=f"{place}.function_response.response"
            )


def _check_calls(model: Model, contents: list[Turn], *, require_call_ids: bool) -> None:
    """Calls are answered at once by as many responses; neighbours of one role are one turn."""
    pending: list[Turn] = []
    for number, turn in enumerate(_merged(contents)):
        calls = _parts(turn, "functionCall")
        answers = _parts(turn, "functionResponse")
        if pending and not answers:
            raise invalid(
                "Please ensure that function response turn comes immediately after a function call turn.",
                field=f"contents[{number}]",
            )
        if answers:
            _check_answers(pending, answers, number, require_call_ids=require_call_ids)
        pending = calls
    if pending and model.wants_last_user:
        raise invalid("The last function call has no response.", field=f"contents[{len(contents) - 1}]")


def _merged(contents: list[Turn]) -> list[Turn]:
    merged: list[Turn] = []
    for turn in contents:
        if merged and _role(merged[-1]) == _role(turn):
            merged[-1] = {"role": _role(turn), "parts": [*merged[-1]["parts"], *turn["parts"]]}
        else:
            merged.append(turn)
    return merged


def _check_answers(calls: list[Turn], answers: list[Turn], number: int, *, require_call_ids: bool) -> None:
    if len(calls) != len(answers):
        raise invalid(
            "Please ensure that the number of function response parts is equal to the number of "
            "function call parts of the function call turn.",
            field=f"contents[{number}]",
        )
    if Counter(call["name"] for call in calls) != Counter(answer["name"] for answer in answers):
        raise invalid("Function response names do not match the function calls.", field=f"contents[{number}]")
    given = [call["id"] for call in calls if call.get("id")]
    echoed = [answer["id"] for answer in answers if answer.get("id")]
    if (require_call_ids or echoed) and Counter(given) != Counter(echoed):
        raise invalid("Function response ids do not match the function calls.", field=f"contents[{number}]")


def _check_signatures(contents: list[Turn], *, genuine: bool) -> None:
    """In the current turn, the first call of every step needs the signature it came with."""
    start = max(
        (
            n
            for n, turn in enumerate(contents)
            if _role(turn) == "user" and not _parts(turn, "functionResponse")
        ),
        default=0,
    )
    for number, turn in enumerate(contents):
        if number <= start:
            continue
        calls = [(n, part) for n, part in enumerate(turn.get("parts", [])) if "functionCall" in part]
        if calls and not calls[0][1].get("thoughtSignature"):
            name = calls[0][1]["functionCall"]["name"]
            raise GeminiError(
                400,
                "Function call is missing a thought_signature in functionCall parts. This is required "
                "for tools to work correctly, and missing thought_signature may lead to degraded model "
                f"performance. Additional data, function call `default_api:{name}` , position "
                f"{number + 1}. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures "
                "for more details.",
            )
        for _, part in calls if genuine else []:
            if "thoughtSignature" in part and not _is_genuine(part["thoughtSignature"]):
                raise GeminiError(400, "Corrupted thought signature.")


def _is_genuine(signature: str) -> bool:
    if signature in ACCEPTED_DUMMIES:
        return True
    return (decoded(signature) or b"").startswith(SIGNATURE_OPENING)


def sign(model: Model, what: str) -> str:
    return base64.b64encode(SIGNATURE_OPENING + f"{model.name}:{what}".encode()).decode()


def _role(turn: Turn) -> str:
    return str(turn.get("role") or "user")


def _parts(turn: Turn, kind: str) -> list[Turn]:
    return [part[kind] for part in turn.get("parts") or [] if kind in part]


def last_user_text(contents: list[Turn]) -> str:
    """The text of the newest user turn that has any."""
    for turn in reversed(contents):
        texts = [
            part["text"] for part in turn.get("parts", []) if part.get("text") and not part.get("thought")
        ]
        if _role(turn) == "user" and texts:
            return "\n".join(texts)
    return ""


def fresh_responses(contents: list[Turn]) -> list[Turn]:
    """The function responses of the last turn."""
    return _parts(contents[-1], "functionResponse") if contents else []
