"""Thought signatures: where they travel through OpenAI's format, and a memory for clients that lose them.

https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, Protocol

import orjson

from providers.types import Json

MARK: Final = "__thought__"
"""LiteLLM appends the signature to the tool call's id after this mark."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


class SignatureStore(Protocol):
    """Remembers signatures between two requests. Forgetting one costs quality, never the request."""

    def remember(self, tool_call_id: str, signature: str) -> None: ...

    def recall(self, tool_call_id: str) -> str | None: ...


class LocalSignatures:
    """A store of this process, bounded by bytes; the oldest go first."""

    def __init__(self, max_bytes: int = 32 * 1024**2) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, tool_call_id: str, signature: str) -> None:
        size = len(tool_call_id) + len(signature)
        if size > self._max_bytes // 8:
            return
        with self._lock:
            self._forget(tool_call_id)
            self._kept[tool_call_id] = signature
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._forget(next(iter(self._kept)))

    def recall(self, tool_call_id: str) -> str | None:
        with self._lock:
            signature = self._kept.get(tool_call_id)
            if signature is not None:
                self._kept.move_to_end(tool_call_id)
            return signature

    def _forget(self, key: str) -> None:
        if (signature := self._kept.pop(key, None)) is not None:
            self._bytes -= len(key) + len(signature)


_store: SignatureStore = LocalSignatures()


def store() -> SignatureStore:
    """The store in use."""
    return _store


def use_store(chosen: SignatureStore) -> None:
    """Replaces the store of this process, for instance by one that several workers share."""
    global _store
    _store = chosen


def call_key(model: str, call_id: str, name: str, args: Mapping[str, Any]) -> str:
    """The key of one function call.

    Google's ids are short, so model, function and arguments belong to the key: whoever guesses a
    neighbour's id gets nothing, and a signature never reaches a model that did not make it.
    """
    try:
        shown = orjson.dumps(args, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # integers beyond 64 bits
        shown = repr(sorted(args.items(), key=lambda item: item[0])).encode()
    digest = hashlib.sha256("\0".join((model, call_id, name)).encode("utf-8", "replace") + b"\0" + shown)
    return digest.hexdigest()


def split_id(call_id: str) -> tuple[str, str | None]:
    """A tool call's id without LiteLLM's suffix, and the signature that the suffix carried."""
    bare, mark, signature = call_id.partition(MARK)
    return (bare, valid(signature)) if mark else (call_id, None)


def signature_in(holder: Json) -> str | None:
    """The signature that a message, tool call or part carries in one of the known extension fields."""
    extra = holder.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    if isinstance(google, dict) and (found := valid(google.get("thought_signature"))):
        return found
    specific = holder.get("provider_specific_fields")
    if not isinstance(specific, dict):
        return None
    if found := valid(specific.get("thought_signature")):
        return found
    several = specific.get("thought_signatures")
    return valid(several[0]) if isinstance(several, list) and several else None


def with_signature(signature: str) -> Json:
    """The field that carries a signature to the caller, under Google's own name for it."""
    return {"extra_content": {"google": {"thought_signature": signature}}}


def valid(signature: Any) -> str | None:
    """The signature when it is base64, as Google demands; None otherwise."""
    if isinstance(signature, str) and _BASE64.fullmatch(signature):
        return signature
    return None
