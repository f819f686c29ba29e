"""Walks OpenAI chat messages: checks their shape, finds the files they refer to, decodes data URLs.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from providers import media
from providers.errors import InvalidRequest, TooLarge

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
MAX_INLINE_BYTES = 100 * 1024 * 1024
LONGEST_DATA_URL_HEADER = 256


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a part keeps its file: `inner` is the key of the object that holds `fields`, "" when the part
    itself does; `plain` says that a bare string may stand in the object's place."""

    inner: str
    fields: tuple[str, ...]
    plain: bool = False


# Part type → where a file id or address may stand. Ids in `url` fields are an extension of ours.
SHAPES = {
    "file": Shape("file", ("file_id", "file_url")),
    "input_file": Shape("", ("file_id", "file_url")),
    "image_url": Shape("image_url", ("url", "file_id"), plain=True),
    "input_image": Shape("", ("file_id", "image_url")),
    "input_audio": Shape("input_audio", ("file_id", "url")),
    "video_url": Shape("video_url", ("url", "file_id"), plain=True),
    "audio_url": Shape("audio_url", ("url", "file_id"), plain=True),
}

# Fields besides those above that may hold a part's bytes.
BYTES_FIELDS = {"file": ("file_data",), "input_file": ("file_data",), "input_audio": ("data",)}

MEDIA_TYPE_FIELDS = ("format", "mime_type", "content_type", "media_type")


@dataclass(frozen=True, slots=True)
class Reference:
    """One mention of a file by id or address. `value` stands in the messages exactly so."""

    value: str
    part_type: str
    path: str
    media_type: str | None = None
    filename: str | None = None


def references(messages: object) -> list[Reference]:
    """Every file id and address in the messages, in order, data URLs left out. Skips what is malformed."""
    return [
        reference
        for part, path in parts(messages)
        for reference in part_references(part, path)
        if not is_data_url(reference.value)
    ]


def parts(messages: object) -> Iterator[tuple[dict[str, Any], str]]:
    """Every part that is an object, with its path."""
    if not isinstance(messages, list):
        return
    for i, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            for j, part in enumerate(content):
                if isinstance(part, dict):
                    yield part, f"messages[{i}].content[{j}]"


def part_references(part: Mapping[str, Any], path: str) -> Iterator[Reference]:
    """The ids and addresses in one part, data URLs included."""
    kind = part.get("type")
    shape = SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None or not isinstance(kind, str):
        return
    holder: Any = part.get(shape.inner) if shape.inner else part
    if shape.inner:
        path = f"{path}.{shape.inner}"
    if shape.plain and isinstance(holder, str):
        if holder:
            yield Reference(holder, kind, path, _media_type(part), _text(part, "filename"))
        return
    if not isinstance(holder, dict):
        return
    for name in shape.fields:
        value = holder.get(name)
        here = f"{path}.{name}"
        if isinstance(value, dict):  # input_image.image_url written like image_url
            value, here = value.get("url"), f"{here}.url"
        if isinstance(value, str) and value:
            media_type = _media_type(holder) or _media_type(part)
            yield Reference(value, kind, here, media_type, _text(holder, "filename", part))


def _media_type(holder: Mapping[str, Any]) -> str | None:
    for name in MEDIA_TYPE_FIELDS:
        value = holder.get(name)
        if isinstance(value, str):
            found = media.normalize(value) or media.normalize(f"audio/{value}" if "/" not in value else "")
            if found:
                return found
    return None


def _text(holder: Mapping[str, Any], name: str, fallback: Mapping[str, Any] | None = None) -> str | None:
    value = holder.get(name) or (fallback or {}).get(name)
    return value if isinstance(value, str) and value else None


def is_data_url(value: str) -> bool:
    return value[:5].lower() == "data:"


def parse_data_url(
    value: str, path: str, *, media_type: str | None = None, max_bytes: int = MAX_INLINE_BYTES
) -> tuple[str, bytes]:
    """The normalized media type and the bytes of a base64 data URL.

    Raw base64 is taken too when `media_type` is given; a type that the URL names wins over it. Raises
    InvalidRequest with `path` for anything else, TooLarge (counted before decoding) above `max_bytes`.
    """
    found = media.normalize(media_type or "")
    payload = value
    if is_data_url(value):
        comma = value.find(",", 0, LONGEST_DATA_URL_HEADER)
        if comma < 0:
            raise _bad_data_url(path, "it has no comma after its header")
        name, *parameters = value[5:comma].split(";")
        if not parameters or parameters[-1].strip().lower() != "base64":
            raise _bad_data_url(path, "it is not marked ;base64")
        if name.strip():
            found = media.normalize(name)
        payload = value[comma + 1 :]
    if not found:
        raise _bad_data_url(path, "its media type is missing or malformed")
    return found, decode_base64(payload, path, max_bytes)


def decode_base64(payload: str, path: str, max_bytes: int = MAX_INLINE_BYTES) -> bytes:
    """Strict base64: no white space, no missing padding, no other alphabet, not empty."""
    padding = len(payload[-2:]) - len(payload[-2:].rstrip("="))
    size = len(payload) // 4 * 3 - padding
    if size > max_bytes:
        raise TooLarge(f"The data in {path} is larger than {max_bytes} bytes.", param=path)
    if not payload or len(payload) % 4:
        raise _bad_data_url(path, "its base64 is empty or cut short")
    try:
        return binascii.a2b_base64(payload, strict_mode=True)
    except ValueError:
        raise _bad_data_url(path, "its base64 is not valid") from None


def _bad_data_url(path: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"The data in {path} cannot be read: {why}.", param=path, code="invalid_base64")


def validate_messages(body: Mapping[str, Any]) -> None:
    """Raises InvalidRequest with the path of the first thing in `messages` that has the wrong shape."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages must be a list with at least one message.", param="messages")
    for i, message in enumerate(messages):
        _validate_message(message, f"messages[{i}]")


def _validate_message(message: object, path: str) -> None:
    if not isinstance(message, dict):
        raise _wrong(path, "an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise _wrong(f"{path}.role", "one of " + ", ".join(sorted(ROLES)))
    content = message.get("content")
    if isinstance(content, list):
        for j, part in enumerate(content):
            _validate_part(part, f"{path}.content[{j}]")
    elif content is not None and not isinstance(content, str):
        raise _wrong(f"{path}.content", "a string, a list of parts, or null")
    for name in ("name", "refusal", "tool_call_id"):
        _expect(message, name, path, lambda value: value is None or isinstance(value, str), "a string")
    if role == "tool":
        _expect(message, "tool_call_id", path, _is_name, "the id of the tool call that it answers")
    if role == "function":
        _expect(message, "name", path, _is_name, "the name of the function that it answers")
    if message.get("tool_calls") is not None:
        _validate_tool_calls(message["tool_calls"], f"{path}.tool_calls")
    if message.get("function_call") is not None:
        _validate_function(message["function_call"], f"{path}.function_call")


def _validate_part(part: object, path: str) -> None:
    if not isinstance(part, dict):
        raise _wrong(path, "an object with a type")
    kind = part.get("type")
    if not isinstance(kind, str) or not kind:
        raise _wrong(f"{path}.type", "a string")
    if kind in ("text", "refusal"):
        _expect(part, kind, path, lambda value: isinstance(value, str), "a string")
        return
    shape = SHAPES.get(kind)
    if shape is None:
        return
    holder = part
    if shape.inner:
        if shape.plain and isinstance(part.get(shape.inner), str) and part[shape.inner]:
            return
        _expect(part, shape.inner, path, lambda value: isinstance(value, dict), "an object")
        holder, path = part[shape.inner], f"{path}.{shape.inner}"
    names = (*shape.fields, *BYTES_FIELDS.get(kind, ()))
    for name in names:
        may_hold_url = name == "image_url" and isinstance(holder.get(name), dict)
        if may_hold_url:
            _expect(holder[name], "url", f"{path}.{name}", _is_name, "a string that is not empty")
        else:
            _expect(holder, name, path, lambda value: value is None or _is_name(value), "a non-empty string")
    if all(holder.get(name) is None for name in names):
        raise InvalidRequest(f"{path} must hold one of {', '.join(names)}.", param=path)


def _validate_tool_calls(calls: object, path: str) -> None:
    if not isinstance(calls, list):
        raise _wrong(path, "a list")
    for k, call in enumerate(calls):
        here = f"{path}[{k}]"
        if not isinstance(call, dict):
            raise _wrong(here, "an object")
        _expect(call, "id", here, _is_name, "a string that is not empty")
        match call.get("type", "function"):
            case "function":
                _validate_function(call.get("function"), f"{here}.function")
            case "custom":
                custom = call.get("custom")
                if not isinstance(custom, dict):
                    raise _wrong(f"{here}.custom", "an object")
                _expect(custom, "name", f"{here}.custom", _is_name, "a string that is not empty")
                _expect(custom, "input", f"{here}.custom", lambda value: isinstance(value, str), "a string")
            case _:
                raise _wrong(f"{here}.type", "function or custom")


def _validate_function(function: object, path: str) -> None:
    if not isinstance(function, dict):
        raise _wrong(path, "an object")
    _expect(function, "name", path, _is_name, "a string that is not empty")
    _expect(
        function, "arguments", path, lambda value: value is None or isinstance(value, str), "a string of JSON"
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _expect(
    holder: Mapping[str, Any], name: str, path: str, accepts: Callable[[object], bool], expected: str
) -> None:
    if not accepts(holder.get(name)):
        raise _wrong(f"{path}.{name}", expected)


def _wrong(path: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"{path} must be {expected}.", param=path)
