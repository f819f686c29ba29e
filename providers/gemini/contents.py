"""OpenAI messages → Gemini contents and system instruction.

https://ai.google.dev/api/caching#Content
https://ai.google.dev/gemini-api/docs/function-calling
https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from providers.errors import InvalidRequest
from providers.gemini import signatures, spec
from providers.gemini.dialect import Translation
from providers.gemini.parts import note_cache_control, to_parts
from providers.types import Json

OPENING: Final = "."
"""Stands in for a user's turn where a conversation begins with the model's."""
CONTINUE: Final = "Continue."
RESPONSE_MEDIA: Final = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
"""Types that may stand inside a functionResponse, from Gemini 3 on."""


@dataclass(slots=True)
class PendingCall:
    """A function call of the model that waits for its result."""

    id: str
    name: str
    response: Json | None = None
    media: list[Json] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    """Contents as they grow, and the calls that have no result yet."""

    translation: Translation
    contents: list[Json] = field(default_factory=list)
    system: list[str] = field(default_factory=list)
    pending: list[PendingCall] = field(default_factory=list)
    apart: bool = False
    """The next user turn must not join the results before it: models before Gemini 3 count the parts."""

    def add(self, role: str, parts: list[Json]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role and not self.apart:
            self.contents[-1]["parts"].extend(parts)
        else:
            self.contents.append({"role": role, "parts": parts})
        self.apart = False

    def settle(self) -> None:
        """Sends the results of all pending calls in the order of the calls, the missing ones as errors."""
        if not self.pending:
            return
        parts: list[Json] = []
        further: list[Json] = []
        for call in self.pending:
            result = {"error": "no result"} if call.response is None else call.response
            response: Json = {"name": call.name, "response": result}
            if self.translation.traits.wants_signatures:
                response = {"id": call.id, **response}
                inside = [part for part in call.media if _may_stand_inside(part)]
                if inside:
                    response["parts"] = inside
                further += [part for part in call.media if part not in inside]
            else:
                further += call.media
            parts.append({"functionResponse": response})
        self.pending = []
        self.add("user", parts)
        self.apart = not self.translation.traits.takes_mixed_tools
        self.add("user", further)


def to_contents(translation: Translation) -> tuple[list[Json], Json | None]:
    """The contents and, where the model takes one, the system instruction."""
    conversation = Conversation(translation)
    for i, message in enumerate(translation.call.body["messages"]):
        path = f"messages[{i}]"
        if "cache_control" in message:
            note_cache_control(translation)
        match message["role"]:
            case "system" | "developer":
                conversation.system += _system_texts(message, path, translation)
            case "user":
                conversation.settle()
                conversation.add("user", _content_parts(message, path, translation))
            case "assistant":
                if any(call.response is not None for call in conversation.pending):
                    conversation.settle()
                _add_assistant(conversation, message, path)
            case "tool" | "function":
                _answer(conversation, message, path)
            case role:
                raise InvalidRequest(f"The role {role!r} is not known.", param=f"{path}.role")
    conversation.settle()
    return _rounded_off(conversation)


def _rounded_off(conversation: Conversation) -> tuple[list[Json], Json | None]:
    """Adds what Google demands of a conversation: something to say, a user's turn first and, lately, last."""
    contents, traits = conversation.contents, conversation.translation.traits
    texts = [{"text": text} for text in conversation.system]
    if not contents:
        if not texts:
            raise InvalidRequest("The messages hold nothing that could be sent.", param="messages")
        contents.append({"role": "user", "parts": [dict(part) for part in texts]})
        return contents, ({"parts": texts} if traits.takes_system else None)
    if contents[0]["role"] == "model":
        contents.insert(0, {"role": "user", "parts": [{"text": OPENING}]})
    if contents[-1]["role"] == "model" and not traits.takes_prefill:
        conversation.translation.warn(
            "the conversation ends with the assistant; a user turn was added, as the model demands"
        )
        contents.append({"role": "user", "parts": [{"text": CONTINUE}]})
    if not texts:
        return contents, None
    if traits.takes_system:
        return contents, {"parts": texts}
    if traits.speaks_verbatim:
        _style(contents, "\n".join(conversation.system))
    else:
        contents[0]["parts"][:0] = texts
    return contents, None


def _style(contents: list[Json], style: str) -> None:
    """Text-to-speech models that speak the text verbatim take instructions beside it."""
    for content in contents:
        for part in content["parts"]:
            if "text" in part:
                part["speechMetadata"] = {"style": style}


# ---- one message --------------------------------------------------------------------------------


def _content_parts(message: Json, path: str, translation: Translation) -> list[Json]:
    content = message.get("content")
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"text": content}]
    return [
        gemini
        for j, part in enumerate(content)
        for gemini in to_parts(part, f"{path}.content[{j}]", translation)
    ]


def _system_texts(message: Json, path: str, translation: Translation) -> list[str]:
    texts = []
    for part in _content_parts(message, path, translation):
        if "text" not in part:
            raise InvalidRequest(f"{path} may hold text only.", param=f"{path}.content")
        texts.append(part["text"])
    return texts


def _add_assistant(conversation: Conversation, message: Json, path: str) -> None:
    translation = conversation.translation
    thinks = translation.traits.generation >= (2, 5)
    parts = _server_tools(message, translation)
    spoken = _content_parts(message, path, translation)
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        spoken.append({"text": refusal})
    spoken += _images(message, path, translation)
    signature = signatures.signature_in(message) if thinks else None
    if spoken and signature and "thoughtSignature" not in spoken[-1]:
        spoken[-1]["thoughtSignature"] = signature
        signature = None
    if message.get("audio") is not None:
        translation.warn("earlier audio answers are not sent again; only their text is")
    parts += spoken
    parts += _calls(conversation, message, signature if thinks else None)
    conversation.add("model", parts)


def _images(message: Json, path: str, translation: Translation) -> list[Json]:
    """Pictures that the model made earlier, as our answers carry them."""
    images = message.get("images")
    parts: list[Json] = []
    for j, image in enumerate(images if isinstance(images, list) else []):
        here = f"{path}.images[{j}]"
        if not isinstance(image, dict) or image.get("type") != "image_url":
            raise InvalidRequest(f"{here} must be an image_url part.", param=here)
        for part in to_parts(image, here, translation):
            signature = signatures.signature_in(image)
            if signature and translation.traits.generation >= (2, 5):
                part["thoughtSignature"] = signature
            parts.append(part)
    return parts


def _calls(conversation: Conversation, message: Json, signature: str | None) -> list[Json]:
    """The functionCall parts of one assistant message; each becomes pending."""
    translation = conversation.translation
    traits = translation.traits
    is_first = not conversation.pending
    parts: list[Json] = []
    for call_id, name, arguments, holder in tool_calls(message):
        bare, suffixed = signatures.split_id(call_id)
        args = arguments_of(arguments)
        function_call: Json = {"name": name, "args": args}
        if traits.wants_signatures:
            function_call = {"id": bare, **function_call}
        part: Json = {"functionCall": function_call}
        if traits.generation >= (2, 5):
            key = signatures.call_key(translation.call.model, bare, name, args)
            found = signatures.signature_in(holder) or suffixed or signatures.store().recall(key)
            if is_first:
                found = found or signature or (spec.NO_SIGNATURE if traits.wants_signatures else None)
            if found:
                part["thoughtSignature"] = found
        is_first = False
        conversation.pending.append(PendingCall(bare, name))
        parts.append(part)
    return parts


def tool_calls(message: Json) -> list[tuple[str, str, Any, Json]]:
    """(id, name, arguments, the object that may carry a signature) of each call, legacy ones included."""
    calls: list[tuple[str, str, Any, Json]] = []
    for call in message.get("tool_calls") or ():
        if call.get("type") == "custom":
            custom = call["custom"]
            calls.append((call["id"], custom["name"], orjson.dumps({"input": custom["input"]}), call))
        else:
            function = call["function"]
            calls.append((call["id"], function["name"], function.get("arguments"), call))
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        calls.append((f"call_{legacy['name']}", legacy["name"], legacy.get("arguments"), legacy))
    return calls


def arguments_of(arguments: Any) -> Json:
    """Arguments as an object. Models write broken JSON at times; it goes back to them as they wrote it."""
    if not arguments:
        return {}
    try:
        value = orjson.loads(arguments)
    except ValueError:
        value = arguments
    return value if isinstance(value, dict) else {"input": value}


def _server_tools(message: Json, translation: Translation) -> list[Json]:
    """What Google's own tools did in an earlier answer, as our answers carry it."""
    specific = message.get("provider_specific_fields")
    done = specific.get("server_side_tool_invocations") if isinstance(specific, dict) else None
    if not isinstance(done, list) or not translation.dialect.takes_server_tools:
        return []
    parts: list[Json] = []
    for item in done:
        if not isinstance(item, dict) or not isinstance(item.get("tool_type"), str):
            continue
        named = {"toolType": item["tool_type"], "id": item.get("id")}
        for kind, content, signature in (
            ("toolCall", "args", "thought_signature"),
            ("toolResponse", "response", "response_thought_signature"),
        ):
            if item.get(content) is None and item.get(signature) is None:
                continue
            tool: Json = {**named, content: item.get(content)}
            part: Json = {kind: {name: value for name, value in tool.items() if value is not None}}
            if found := signatures.valid(item.get(signature)):
                part["thoughtSignature"] = found
            parts.append(part)
    return parts


# ---- results of calls ---------------------------------------------------------------------------


def _answer(conversation: Conversation, message: Json, path: str) -> None:
    """Keeps the result of one call until all results of the turn are there."""
    by_name = message["role"] == "function"
    field_name = "name" if by_name else "tool_call_id"
    wanted = message[field_name] if by_name else signatures.split_id(message[field_name])[0]
    for call in conversation.pending:
        if call.response is None and wanted == (call.name if by_name else call.id):
            break
    else:
        here = f"{path}.{field_name}"
        raise InvalidRequest(f"{here} does not answer a preceding, unanswered tool call.", param=here)
    call.response, call.media = _result(message, path, conversation.translation)


def _result(message: Json, path: str, translation: Translation) -> tuple[Json, list[Json]]:
    """A result as the object that Google wants, and the media that came with it."""
    content = message.get("content")
    media: list[Json] = []
    if isinstance(content, list):
        parts = _content_parts(message, path, translation)
        media = [part for part in parts if "text" not in part]
        content = "\n".join(part["text"] for part in parts if "text" in part)
    text = content if isinstance(content, str) else ""
    if text.lstrip()[:1] == "{":
        try:
            value = orjson.loads(text)
        except ValueError:
            value = None
        if isinstance(value, dict):
            return value, media
    return {"output": text}, media


def _may_stand_inside(part: Json) -> bool:
    return part.get("inlineData", {}).get("mimeType") in RESPONSE_MEDIA
