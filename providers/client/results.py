"""What the functions return: OpenAI's objects as dicts whose entries are attributes too.

https://platform.openai.com/docs/api-reference/chat/object
https://platform.openai.com/docs/api-reference/files/object
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self


class Result(dict[str, Any]):
    """`answer.usage`, `answer["usage"]` and `answer.get("usage")` are the same.

    `FIELDS` are OpenAI's own: one that is absent reads as None. `PARTS` says what nested objects become.
    """

    FIELDS: ClassVar[frozenset[str]] = frozenset()
    PARTS: ClassVar[Mapping[str, type[Result]]] = {}

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:
        super().__init__()
        for name, value in dict(values, **more).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, _made(value, self.PARTS.get(name, Result)))

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            if name in self.FIELDS:
                return None
            raise AttributeError(f"{type(self).__name__} has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(name)
        del self[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self, *self.FIELDS})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Any]]]:
        return type(self), (dict(self),)

    def copy(self) -> Self:
        return type(self)(self)

    def __copy__(self) -> Self:
        return self.copy()

    @property
    def model_extra(self) -> dict[str, Any]:
        """What the answer holds beyond OpenAI's own fields."""
        return {name: value for name, value in self.items() if name not in self.FIELDS}

    def model_dump(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """Plain dicts and lists."""
        return {
            name: _plain(value, exclude_none=exclude_none)
            for name, value in self.items()
            if value is not None or not exclude_none
        }

    def model_dump_json(self, *, indent: int | None = None, exclude_none: bool = False) -> str:
        return json.dumps(self.model_dump(exclude_none=exclude_none), indent=indent, ensure_ascii=False)

    to_dict = model_dump
    to_json = model_dump_json


def _made(value: Any, kind: type[Result]) -> Any:
    if isinstance(value, Result):
        return value
    if isinstance(value, dict):
        return kind(value)
    if isinstance(value, list):
        return [_made(item, kind) for item in value]
    return value


def _plain(value: Any, *, exclude_none: bool) -> Any:
    if isinstance(value, Result):
        return value.model_dump(exclude_none=exclude_none)
    if isinstance(value, list):
        return [_plain(item, exclude_none=exclude_none) for item in value]
    return value


class Function(Result):
    FIELDS = frozenset({"name", "arguments"})


class ToolCall(Result):
    FIELDS = frozenset({"id", "type", "function"})
    PARTS = {"function": Function}


class Audio(Result):
    FIELDS = frozenset({"id", "data", "expires_at", "transcript"})


class Message(Result):
    FIELDS = frozenset(
        {
            "role", "content", "refusal", "annotations", "audio", "function_call", "tool_calls", "images",
            "reasoning_content", "thinking_blocks", "provider_specific_fields",
        }
    )  # fmt: skip
    PARTS = {"tool_calls": ToolCall, "function_call": Function, "audio": Audio}


class Delta(Message):
    pass


class Choice(Result):
    FIELDS = frozenset({"index", "message", "logprobs", "finish_reason", "provider_specific_fields"})
    PARTS = {"message": Message}


class StreamChoice(Result):
    FIELDS = frozenset({"index", "delta", "logprobs", "finish_reason", "provider_specific_fields"})
    PARTS = {"delta": Delta}


class TokenDetails(Result):
    FIELDS = frozenset(
        {
            "accepted_prediction_tokens", "audio_tokens", "cached_tokens", "image_tokens", "reasoning_tokens",
            "rejected_prediction_tokens", "text_tokens", "video_tokens",
        }
    )  # fmt: skip


class Usage(Result):
    FIELDS = frozenset(
        {
            "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details",
            "completion_tokens_details",
        }
    )  # fmt: skip
    PARTS = {"prompt_tokens_details": TokenDetails, "completion_tokens_details": TokenDetails}


class Answer(Result):
    """Whatever came from a model. `warnings` says what of the request was dropped or changed."""

    FIELDS = frozenset({"id", "object", "created", "model", "usage", "system_fingerprint", "service_tier"})
    PARTS = {"usage": Usage}

    warnings: tuple[str, ...] = ()

    def __reduce__(self) -> Any:
        return _restored, (type(self), dict(self), self.warnings)

    def copy(self) -> Self:
        return self.warned(type(self)(self), self.warnings)

    @classmethod
    def warned(cls, answer: Self, warnings: Iterable[str]) -> Self:
        object.__setattr__(answer, "warnings", tuple(warnings))
        return answer


def _restored(kind: type[Answer], values: dict[str, Any], warnings: tuple[str, ...]) -> Answer:
    return kind.warned(kind(values), warnings)


class ModelResponse(Answer):
    FIELDS = Answer.FIELDS | {"choices"}
    PARTS = {**Answer.PARTS, "choices": Choice}


class ModelResponseStream(Answer):
    """One chunk of a stream."""

    FIELDS = Answer.FIELDS | {"choices"}
    PARTS = {**Answer.PARTS, "choices": StreamChoice}


class Embedding(Result):
    FIELDS = frozenset({"object", "index", "embedding"})


class EmbeddingResponse(Answer):
    FIELDS = frozenset({"object", "data", "model", "usage"})
    PARTS = {**Answer.PARTS, "data": Embedding}


class FileObject(Result):
    """OpenAI's file object. At a provider that takes its files by address, `id` is that address."""

    FIELDS = frozenset(
        {
            "id", "object", "bytes", "created_at", "expires_at", "filename", "purpose", "status",
            "status_details",
        }
    )  # fmt: skip


class FileDeleted(Result):
    FIELDS = frozenset({"id", "object", "deleted"})


class FileList(list[FileObject]):
    """A list of files that also reads like OpenAI's page of them."""

    object = "list"

    def __init__(self, files: Iterable[FileObject] = (), *, after: str | None = None) -> None:
        super().__init__(files)
        self.after = after
        """Where the next page begins; None when this is the last."""

    @property
    def data(self) -> list[FileObject]:
        return list(self)

    @property
    def has_more(self) -> bool:
        return self.after is not None

    def model_dump(self) -> dict[str, Any]:
        return {
            "object": self.object,
            "data": [file.model_dump() for file in self],
            "has_more": self.has_more,
        }

    def __repr__(self) -> str:
        return f"FileList(data={list(self)!r}, has_more={self.has_more})"


class FileContent:
    """The bytes of a file, under every name that OpenAI's library and LiteLLM give them."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def read(self) -> bytes:
        return self.content

    def iter_bytes(self, chunk_size: int = 1 << 20) -> Iterator[bytes]:
        for start in range(0, len(self.content), chunk_size):
            yield self.content[start : start + chunk_size]

    def write_to_file(self, path: str | Path) -> None:
        Path(path).write_bytes(self.content)

    stream_to_file = write_to_file

    def __bytes__(self) -> bytes:
        return self.content

    def __len__(self) -> int:
        return len(self.content)

    def __repr__(self) -> str:
        return f"FileContent({len(self.content)} bytes)"
