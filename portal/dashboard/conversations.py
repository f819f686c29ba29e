"""A kept request and its answer, as readers see them: turns with words, everything else named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from portal.crypto import CannotOpen
from portal.dashboard.visitor import may
from portal.models import UsageRecord
from portal.services import contents
from portal.services.contents import Kept

ROLES = {
    "user": "User",
    "assistant": "Answer",
    "system": "System",
    "developer": "System",
    "tool": "Tool result",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """`extras` name what stood beside the words: files, images, calls of tools."""

    role: str
    text: str
    thought: str = ""
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page says of a call's content; with a `reason` there is nothing to show."""

    reason: str = ""
    turns: tuple[Turn, ...] = ()
    headers: Mapping[str, str] | None = None
    request: str = ""
    answer: str = ""
    is_cut: bool = False


def kept_of(request: HttpRequest, row: UsageRecord) -> Kept | None:
    """The content of a call that this person may read. Raises CannotOpen."""
    return contents.read(row.call_id) if may(request, "requests.read_bodies", row) else None


def shown(request: HttpRequest, row: UsageRecord) -> Shown:
    if not may(request, "requests.read_bodies", row):
        return Shown(reason="forbidden")
    try:
        kept = contents.read(row.call_id)
    except CannotOpen:
        return Shown(reason="unreadable")
    if kept is None:
        return Shown(reason="absent")
    return Shown(
        turns=tuple(_turns(kept)),
        headers=kept.headers,
        request=pretty(kept.request),
        answer=pretty(kept.answer) if kept.answer is not None else "",
        is_cut=kept.is_cut,
    )


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _turns(kept: Kept) -> Iterator[Turn]:
    asked = kept.request if isinstance(kept.request, dict) else {}
    for message in _list(asked.get("messages")):
        yield _turn(message, str(message.get("role", "")))
    for content in _list(asked.get("contents")):
        yield _of_parts(content, "Answer" if content.get("role") == "model" else "User")
    answer = kept.answer if isinstance(kept.answer, dict) else {}
    for choice in (*_list(answer.get("choices")), *_list(answer.get("candidates"))):
        if isinstance(choice.get("message"), dict):
            yield _turn(choice["message"], "assistant")
        elif isinstance(choice.get("content"), dict):
            yield _of_parts(choice["content"], "Answer")


def _turn(message: Mapping[str, Any], role: str) -> Turn:
    content = message.get("content")
    words = [content] if isinstance(content, str) else []
    extras = []
    for part in _list(content):
        if isinstance(part.get("text"), str):
            words.append(part["text"])
        else:
            extras.append(_named(part))
    for call in _list(message.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, dict):
            extras.append(f"{function.get('name')}({function.get('arguments') or ''})")
    thought = message.get("reasoning_content")
    return Turn(
        ROLES.get(role, role), "\n".join(words), thought if isinstance(thought, str) else "", tuple(extras)
    )


def _of_parts(content: Mapping[str, Any], role: str) -> Turn:
    words: list[str] = []
    thoughts: list[str] = []
    extras: list[str] = []
    for part in _list(content.get("parts")):
        if isinstance(part.get("text"), str):
            (thoughts if part.get("thought") else words).append(part["text"])
        else:
            extras.append(_named(part))
    return Turn(role, "".join(words), "".join(thoughts), tuple(extras))


def _named(part: Mapping[str, Any]) -> str:
    """One line for a part that is no text."""
    written = json.dumps({name: value for name, value in part.items() if name != "type"}, ensure_ascii=False)
    kind = str(part.get("type") or "")
    return f"{kind} {written}".strip()[:300]


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
