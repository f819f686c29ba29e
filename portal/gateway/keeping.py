"""Hears an answer out, whole or chunk by chunk, and hands it on as one whole answer when it is complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from portal.gateway.settlement import answer_characters
from providers.types import Json

MOST_CHARACTERS: Final = 2_000_000
"""Of a stream that is put together again; a longer one is passed on and not kept."""
REPLACED: Final = frozenset({"role", "id", "type", "name", "index", "finish_reason", "expires_at"})
"""Texts that come whole and are not continued by the next chunk."""


class Keeper:
    """One call's answer on its way to `keep`, which gets it once and only when it is complete."""

    __slots__ = ("_chunks", "_keep", "_left")

    def __init__(self, keep: Callable[[Json], None]) -> None:
        self._keep: Callable[[Json], None] | None = keep
        self._chunks: list[Json] = []
        self._left = MOST_CHARACTERS

    def hear(self, answer: Json) -> None:
        """A whole answer."""
        keep, self._keep = self._keep, None
        if keep is not None:
            keep(answer)

    def hear_chunks(self, chunks: Sequence[Json]) -> None:
        """Part of a stream."""
        if self._keep is None:
            return
        self._chunks += chunks
        self._left -= sum(answer_characters(chunk, "delta") for chunk in chunks)
        if self._left < 0:
            self.drop()

    def complete(self, usage: Json | None) -> None:
        """The stream came to its end, with what the provider counted."""
        if self._keep is not None and (whole := joined(self._chunks, usage)) is not None:
            self.hear(whole)

    def drop(self) -> None:
        self._keep = None
        self._chunks = []


def joined(chunks: Sequence[Json], usage: Json | None) -> Json | None:
    """The chat completion that the chunks of a stream are; None when there is none in them.

    As OpenAI's clients put streams together: texts are continued, lists with an index are merged by it.
    """
    whole: Json = {}
    choices: dict[int, Json] = {}
    for chunk in chunks:
        facts = {name: value for name, value in chunk.items() if name not in ("choices", "usage", "object")}
        whole |= {name: value for name, value in facts.items() if value is not None or name not in whole}
        for choice in chunk.get("choices") or ():
            number = choice.get("index") or 0
            kept = choices.setdefault(number, {"index": number, "message": {}})
            for name, value in choice.items():
                if name == "delta":
                    _merge(kept["message"], value or {})
                elif name != "index" and value is not None:
                    _merge(kept, {name: value})
    if not choices or any(not choice.get("finish_reason") for choice in choices.values()):
        return None
    for choice in choices.values():
        message = choice["message"]
        message.setdefault("content", None)
        for call in message.get("tool_calls") or ():
            call.pop("index", None)
    listed = [choices[number] for number in sorted(choices)]
    return {**whole, "object": "chat.completion", "choices": listed} | ({"usage": usage} if usage else {})


def split(answer: Mapping[str, Any], *, wants_usage: bool) -> Iterator[Json]:
    """The stream that a chat completion would have been, in few chunks."""
    facts = {name: value for name, value in answer.items() if name not in ("choices", "usage", "object")}
    head: Json = {**facts, "object": "chat.completion.chunk"}
    for choice in answer.get("choices") or ():
        message = {name: value for name, value in choice["message"].items() if value is not None}
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [{"index": number, **call} for number, call in enumerate(calls)]
        said = {name: value for name, value in choice.items() if name not in ("message", "finish_reason")}
        yield head | {"choices": [{**said, "delta": message, "finish_reason": None}]}
    for choice in answer.get("choices") or ():
        end = {"index": choice["index"], "delta": {}, "finish_reason": choice.get("finish_reason")}
        yield head | {"choices": [end]}
    if wants_usage and answer.get("usage"):
        yield head | {"choices": [], "usage": answer["usage"]}


def _merge(kept: Json, new: Mapping[str, Any]) -> None:
    for name, value in new.items():
        if value is None:
            kept.setdefault(name, None)
            continue
        known = kept.get(name)
        match known, value:
            case str(), str() if name not in REPLACED:
                kept[name] = known + value
            case dict(), dict():
                _merge(known, value)
            case list(), list():
                _merge_lists(known, value)
            case _ if isinstance(value, dict):
                kept[name] = {}
                _merge(kept[name], value)
            case _ if isinstance(value, list):
                kept[name] = []
                _merge_lists(kept[name], value)
            case _:
                kept[name] = value


def _merge_lists(kept: list[Any], new: Sequence[Any]) -> None:
    """Items with an index continue the one of the same index, others are added."""
    for item in new:
        index = item.get("index") if isinstance(item, dict) else None
        if index is None:
            kept.append(item)
            continue
        same = next((each for each in kept if isinstance(each, dict) and each.get("index") == index), None)
        if same is None:
            same = {}
            kept.append(same)
        _merge(same, item)
