"""What OpenAI asks of messages and their parts (https://platform.openai.com/docs/api-reference/chat/create)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from tests.fakes.answers import Media, media_of
from tests.fakes.openai import errors
from tests.fakes.openai.bodies import only_known
from tests.fakes.openai.state import OpenAIFake

FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    # `parsed` is sent back by OpenAI's own SDK and was seen accepted.
    "assistant": {
        "role",
        "content",
        "name",
        "refusal",
        "audio",
        "tool_calls",
        "function_call",
        "annotations",
        "parsed",
    },
    "tool": {"role", "content", "tool_call_id", "name"},
    "function": {"role", "content", "name"},
}
PARTS = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text",),
    "function": ("text",),
}
DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.DOTALL)
IMAGE_OPENINGS = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/webp": (b"RIFF",),
    "image/gif": (b"GIF87a", b"GIF89a"),
}
MP3_OPENINGS = (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa")
FILE_PURPOSES = frozenset({"user_data", "assistants", "vision"})


def read_messages(fake: OpenAIFake, project: str, messages: Any) -> list[Media]:
    """Checks every message; the media they hold, in order."""
    if not isinstance(messages, list):
        raise errors.missing_parameter("messages")
    if not messages:
        raise errors.invalid(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty "
            "array instead.",
            "messages",
            "empty_array",
        )
    media: list[Media] = []
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if not isinstance(message, dict):
            raise errors.wrong_type(place, "an object", message)
        role = message.get("role")
        if role is None:
            raise errors.missing_parameter(f"{place}.role")
        if not isinstance(role, str) or role not in FIELDS:
            raise errors.invalid(
                f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', "
                "'function', 'tool', and 'developer'.",
                f"{place}.role",
                "invalid_value",
            )
        only_known(message, FIELDS[role], place)
        media += _read_content(fake, project, message, role, place)
    _check_tool_turns(messages)
    return media


def _read_content(
    fake: OpenAIFake, project: str, message: dict[str, Any], role: str, place: str
) -> list[Media]:
    content = message.get("content")
    if content is None:
        if role == "assistant" and (message.get("tool_calls") or message.get("function_call")):
            return []
        raise errors.invalid(
            "Invalid value for 'content': expected a string, got null.", f"{place}.content", "invalid_type"
        )
    if isinstance(content, str):
        return []
    if not isinstance(content, list):
        raise errors.wrong_type(f"{place}.content", "one of a string or array of objects", content)
    if not content:
        raise errors.invalid(f"Invalid '{place}.content': empty array.", f"{place}.content", "empty_array")
    media: list[Media] = []
    for number, part in enumerate(content):
        media += _read_part(fake, project, part, PARTS[role], f"{place}.content[{number}]")
    return media


def _read_part(fake: OpenAIFake, project: str, part: Any, kinds: tuple[str, ...], place: str) -> list[Media]:
    if not isinstance(part, dict):
        raise errors.wrong_type(place, "an object", part)
    kind = part.get("type")
    if kind not in kinds:
        if kind is None:
            raise errors.missing_parameter(f"{place}.type")
        shown = ", ".join(f"'{item}'" for item in kinds)
        raise errors.invalid(
            f"Invalid value: '{kind}'. Supported values are: {shown}.", f"{place}.type", "invalid_value"
        )
    only_known(part, {"type", kind, "prompt_cache_breakpoint"}, place)
    inner = part.get(kind)
    if kind in ("text", "refusal"):
        if not isinstance(inner, str):
            raise errors.wrong_type(f"{place}.{kind}", "a string", inner)
        return []
    if not isinstance(inner, dict):
        raise errors.wrong_type(f"{place}.{kind}", "an object", inner)
    match kind:
        case "image_url":
            return [_image(inner, f"{place}.image_url")]
        case "input_audio":
            return [_audio(inner, f"{place}.input_audio")]
        case _:
            return [_file(fake, project, inner, f"{place}.file")]


def _image(image: dict[str, Any], place: str) -> Media:
    only_known(image, {"url", "detail"}, place)
    url = image.get("url")
    if not isinstance(url, str):
        raise errors.missing_parameter(f"{place}.url")
    if image.get("detail") not in (None, "auto", "low", "high", "original"):
        raise errors.invalid(f"Invalid value: '{image['detail']}'.", f"{place}.detail", "invalid_value")
    if re.match(r"https?://[^/]", url):
        return Media("image", url=url)
    found = DATA_URL.fullmatch(url)
    if not found:
        raise errors.invalid(
            "Invalid image_url. Expected a URL or a base64-encoded data URL.",
            f"{place}.url",
            "invalid_image_url",
        )
    data = _decoded(found[2], f"{place}.url")
    if found[1] not in IMAGE_OPENINGS:
        raise errors.invalid(
            "Invalid MIME type. Only image types are supported.", f"{place}.url", "invalid_image_format"
        )
    if not data.startswith(IMAGE_OPENINGS[found[1]]):
        raise errors.invalid(
            "You uploaded an unsupported image. Please make sure your image has of one the following "
            "formats: ['png', 'jpeg', 'gif', 'webp'].",
            f"{place}.url",
            "invalid_image_format",
        )
    return media_of(found[1], data)


def _audio(audio: dict[str, Any], place: str) -> Media:
    only_known(audio, {"data", "format"}, place)
    kind = audio.get("format")
    if kind not in ("wav", "mp3"):
        raise errors.invalid(
            f"Invalid value: '{kind}'. Supported values are: 'wav' and 'mp3'.",
            f"{place}.format",
            "invalid_value",
        )
    data = _decoded(audio.get("data"), f"{place}.data")
    right = data.startswith(b"RIFF") if kind == "wav" else data.startswith(MP3_OPENINGS)
    if not right:
        raise errors.invalid(
            f"The data provided for 'input_audio' is not of valid {kind} format.",
            f"{place}.data",
            "invalid_value",
        )
    return media_of("audio/wav" if kind == "wav" else "audio/mpeg", data)


def _file(fake: OpenAIFake, project: str, file: dict[str, Any], place: str) -> Media:
    only_known(file, {"file_id", "file_data", "filename"}, place)
    file_id, data = file.get("file_id"), file.get("file_data")
    if (file_id is None) == (data is None):
        raise errors.invalid(
            "Exactly one of 'file_id' and 'file_data' must be given.", place, "invalid_value"
        )
    limit = int(fake.settings["pdf_bytes"])
    if file_id is not None:
        stored = fake.find(project, str(file_id), status=400, param=f"{place}.file_id")
        if stored.purpose not in FILE_PURPOSES:
            raise errors.invalid(
                f"Files of purpose {stored.purpose} cannot be used here.", f"{place}.file_id"
            )
        if not stored.is_pdf:
            raise _not_a_pdf(f"{place}.file_id", stored.filename)
        if stored.sink.size > limit:
            raise errors.invalid("The file is larger than 50 MB.", f"{place}.file_id", "file_too_large")
        return Media("application/pdf", stored.sink.size, stored.sink.sha256, pages=stored.pages)
    if not isinstance(file.get("filename"), str) or not file["filename"]:
        raise errors.missing_parameter(f"{place}.filename")
    found = DATA_URL.fullmatch(str(data))
    if not found or found[1] != "application/pdf":
        raise _not_a_pdf(f"{place}.file_data", found[1] if found else "unknown")
    content = _decoded(found[2], f"{place}.file_data")
    if not content.startswith(b"%PDF"):
        raise errors.invalid("The file could not be read as a PDF.", f"{place}.file_data", "invalid_file")
    if len(content) > limit:
        raise errors.invalid("The file is larger than 50 MB.", f"{place}.file_data", "file_too_large")
    return media_of("application/pdf", content)


def _not_a_pdf(param: str, given: str) -> errors.OpenAIError:
    return errors.invalid(
        f"Invalid file data: '{param}'. Expected a base64-encoded data URL with an application/pdf MIME "
        f"type (e.g. 'data:application/pdf;base64,aGVsbG8='), but got unsupported MIME type '{given}'.",
        param,
        "unsupported_file",
    )


def _decoded(text: Any, param: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (ValueError, binascii.Error):
        data = b""
    if not data:
        raise errors.invalid(f"Invalid base64 data in '{param}'.", param, "invalid_base64")
    return data


def _check_tool_turns(messages: list[dict[str, Any]]) -> None:
    """Calls are answered right behind them, all of them; an answer without its call is refused."""
    open_ids: list[str] = []
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            if message.get("tool_call_id") is None:
                raise errors.missing_parameter(f"messages[{number}].tool_call_id")
            if message["tool_call_id"] not in open_ids:
                raise errors.invalid(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
                    "message with 'tool_calls'.",
                    f"messages.[{number}].role",
                )
            open_ids.remove(message["tool_call_id"])
            continue
        _require_answered(open_ids, number)
        open_ids = [_call_id(call, number, n) for n, call in enumerate(_tool_calls(message, number))]
    _require_answered(open_ids, len(messages))


def _require_answered(open_ids: list[str], number: int) -> None:
    if open_ids:
        raise errors.invalid(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to "
            "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(open_ids),
            f"messages.[{number}].role",
        )


def _tool_calls(message: dict[str, Any], number: int) -> list[Any]:
    calls = message.get("tool_calls")
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise errors.wrong_type(f"messages[{number}].tool_calls", "an array of objects", calls)
    return calls


def _call_id(call: Any, message: int, number: int) -> str:
    place = f"messages[{message}].tool_calls[{number}]"
    if not isinstance(call, dict):
        raise errors.wrong_type(place, "an object", call)
    kind = call.get("type")
    if kind not in ("function", "custom"):
        raise errors.missing_parameter(f"{place}.type")
    only_known(call, {"id", "type", "index", kind}, place)
    inner = call.get(kind)
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise errors.missing_parameter(f"{place}.{kind}.name")
    if not isinstance(inner.get("arguments" if kind == "function" else "input"), str):
        raise errors.wrong_type(f"{place}.{kind}.arguments", "a string", inner.get("arguments"))
    if not isinstance(call.get("id"), str):
        raise errors.missing_parameter(f"{place}.id")
    return str(call["id"])


def last_user_text(messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        if message["role"] == "user":
            return text_of(message.get("content"))
    return ""


def fresh_results(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Name and content of the tool messages that end the conversation."""
    results: list[tuple[str, str]] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        name = next(
            (
                call.get(call["type"], {}).get("name", "")
                for other in messages
                for call in other.get("tool_calls") or []
                if call["id"] == message["tool_call_id"]
            ),
            "",
        )
        results.insert(0, (name, text_of(message.get("content"))))
    return results


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or [] if part.get("type") == "text")
