"""One Gemini candidate → OpenAI message or deltas; the same for whole answers and for streams.

https://ai.google.dev/api/generate-content#v1beta.Candidate
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from providers.errors import UpstreamInvalid
from providers.gemini import signatures, spec
from providers.gemini.grounding import Spoken, to_annotations
from providers.gemini.partial_args import OpenCall
from providers.gemini.tools import custom_names
from providers.types import ChatCall, Json

TEXTS: Final = ("content", "reasoning_content")
MAX_DEPTH: Final = 100
AUDIO_LIFETIME: Final = 86_400
"""Seconds for which an audio answer claims to exist, as OpenAI's format demands a moment."""

# Raw metadata under LiteLLM's names, which callers of it read.
METADATA: Final = {
    "groundingMetadata": "vertex_ai_grounding_metadata",
    "urlContextMetadata": "vertex_ai_url_context_metadata",
    "safetyRatings": "vertex_ai_safety_results",
    "citationMetadata": "vertex_ai_citation_metadata",
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What of the request decides how the answer is written."""

    model: str
    custom: frozenset[str] = frozenset()
    """Tools whose calls carry text instead of arguments."""
    is_legacy: bool = False
    """The caller gave `functions`, so calls come back as `function_call`."""
    one_call: bool = False

    @classmethod
    def of(cls, call: ChatCall) -> Wishes:
        body = call.body
        legacy = bool(body.get("functions")) and not body.get("tools")
        one_call = legacy or body.get("parallel_tool_calls") is False
        return cls(call.model, custom_names(body), legacy, one_call)


@dataclass(slots=True)
class Candidate:
    """What is known of one candidate so far."""

    wishes: Wishes
    index: int
    seed: str
    """Makes the ids of calls that Google left without one."""
    spoken: Spoken = field(default_factory=Spoken)
    calls: int = 0
    images: int = 0
    has_audio: bool = False
    finish: str | None = None
    finish_message: str | None = None
    continuation: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    server_tools: dict[str, Json] = field(default_factory=dict)
    open_call: OpenCall | None = None

    @property
    def is_empty(self) -> bool:
        return self.spoken.is_empty and not (self.calls or self.images or self.has_audio)

    def take(self, candidate: Mapping[str, Any]) -> Json:
        """Reads one candidate object, whole or a piece of a stream; returns the delta that it adds."""
        delta: Json = {}
        for part in _parts_of(candidate):
            self._part(part, delta)
        for name in TEXTS:
            if name in delta:
                delta[name] = "".join(delta[name])
        reason = candidate.get("finishReason")
        if isinstance(reason, str) and reason:
            self.finish = reason
        elif isinstance(reason, int) and reason:
            self.finish = "OTHER"
        for name, attribute in (("finishMessage", "finish_message"), ("continuationToken", "continuation")):
            if isinstance(candidate.get(name), str):
                setattr(self, attribute, candidate[name])
        for name in METADATA:
            if candidate.get(name) and _is_shallow(candidate[name]):
                self.metadata[name] = candidate[name]
        if self.finish:
            self.finish_call(delta)
        return delta

    def _part(self, part: Json, delta: Json) -> None:
        signature = signatures.valid(part.get("thoughtSignature"))
        text = part.get("text")
        if text is not None:
            if not isinstance(text, str):
                raise UpstreamInvalid("The provider sent a text that is none.")
            if part.get("thought") is True:
                _append(delta, "reasoning_content", text)
                return
            self._say(delta, text, by_model=True)
            if signature:
                delta |= signatures.with_signature(signature)
        elif part.get("thought") is True:
            return  # pictures of the way to a picture
        elif (call := _object(part, "functionCall")) is not None:
            self._call(call, signature, delta)
        elif (blob := _object(part, "inlineData")) is not None:
            self._blob(blob, signature, delta)
        elif (code := _object(part, "executableCode")) is not None:
            language = _string(code, "language").lower()
            self._say(delta, self._fenced("python" if language == "python" else "", _string(code, "code")))
        elif (result := _object(part, "codeExecutionResult")) is not None:
            output = _string(result, "output") or _string(result, "outcome")
            self._say(delta, self._fenced("text", output))
        elif "toolCall" in part or "toolResponse" in part:
            self._server_tool(part, signature, delta)
        elif signature:
            delta |= signatures.with_signature(signature)

    def _say(self, delta: Json, text: str, *, by_model: bool = False) -> None:
        if text:
            _append(delta, "content", text)
            self.spoken.add(text, by_model=by_model)

    def _fenced(self, language: str, text: str) -> str:
        """Code or its output as a block; the fence is longer than any within."""
        fence = "```"
        while fence in text:
            fence += "`"
        opening = "" if self.spoken.ends_line else "\n"
        return f"{opening}{fence}{language}\n{text.rstrip()}\n{fence}\n"

    def _call(self, call: Json, signature: str | None, delta: Json) -> None:
        """A call, whole or in pieces that begin with its name and end where nothing says `willContinue`."""
        name, args = _string(call, "name"), call.get("args") or {}
        if not isinstance(args, dict):
            raise UpstreamInvalid("The provider sent a function call with broken arguments.")
        if name:
            self.finish_call(delta)
            self.open_call = OpenCall(name, call.get("id"), signature, args)
        if self.open_call is None:
            raise UpstreamInvalid("The provider sent a function call without a name.")
        if call.get("partialArgs") is not None:
            self.open_call.take(call["partialArgs"])
        if call.get("willContinue") is not True:
            self.finish_call(delta)

    def finish_call(self, delta: Json) -> None:
        """Adds the open call, if there is one, to the delta."""
        if self.open_call is not None:
            call, self.open_call = self.open_call, None
            self._add_call(call.name, call.args, call.id, call.signature, delta)

    def _add_call(self, name: str, args: Json, given_id: Any, signature: str | None, delta: Json) -> None:
        if self.calls and self.wishes.one_call:
            return
        call_id = f"call_{name}" if self.wishes.is_legacy else self._call_id(given_id)
        if signature:
            signatures.store().remember(
                signatures.call_key(self.wishes.model, call_id, name, args), signature
            )
        try:
            arguments = json.dumps(args, ensure_ascii=False)
        except (RecursionError, ValueError) as error:
            raise UpstreamInvalid("The provider sent arguments that nest too deeply.") from error
        if self.wishes.is_legacy:
            delta["function_call"] = {"name": name, "arguments": arguments}
        else:
            shown: Json = {"index": self.calls, "id": call_id, "type": "function"}
            if name in self.wishes.custom:
                text = args.get("input")
                shown["type"] = "custom"
                shown["custom"] = {"name": name, "input": text if isinstance(text, str) else arguments}
            else:
                shown["function"] = {"name": name, "arguments": arguments}
            if signature:
                shown |= signatures.with_signature(signature)
            delta.setdefault("tool_calls", []).append(shown)
        self.calls += 1

    def _call_id(self, given: Any) -> str:
        if isinstance(given, str) and given and given not in self.ids:
            self.ids.add(given)
            return given
        digest = hashlib.sha256(f"{self.seed}/{self.index}/{self.calls}".encode("utf-8", "replace"))
        return f"call_{digest.hexdigest()[:24]}"

    def _blob(self, blob: Json, signature: str | None, delta: Json) -> None:
        mime_type, data = _string(blob, "mimeType"), _string(blob, "data")
        if mime_type.lower().startswith("audio/"):
            self._audio(mime_type, data, delta)
            return
        url = f"data:{mime_type or 'application/octet-stream'};base64,{data}"
        if not mime_type.lower().startswith("image/"):
            self._say(delta, url)
            return
        image: Json = {"type": "image_url", "image_url": {"url": url}, "index": self.images}
        if signature:
            image |= signatures.with_signature(signature)
        delta.setdefault("images", []).append(image)
        self.images += 1

    def _audio(self, mime_type: str, data: str, delta: Json) -> None:
        audio = delta.setdefault("audio", {})
        if not self.has_audio:
            digest = hashlib.sha256(f"{self.seed}/audio/{self.index}".encode("utf-8", "replace")).hexdigest()
            audio |= {"id": f"audio_{digest[:24]}", "transcript": ""}
            audio["expires_at"] = int(time.time()) + AUDIO_LIFETIME
        self.has_audio = True
        audio.setdefault("pieces", []).append((mime_type, data))

    def _server_tool(self, part: Json, signature: str | None, delta: Json) -> None:
        """What Google's own tools did: the model wants it back in the next turn."""
        called = _object(part, "toolCall")
        tool = called if called is not None else _object(part, "toolResponse") or {}
        tool_id = _string(tool, "id")
        entry = self.server_tools.setdefault(tool_id, {"tool_type": _string(tool, "toolType"), "id": tool_id})
        if called is not None:
            entry |= {"args": _passed(tool.get("args")), "thought_signature": signature}
        else:
            response = _passed(tool.get("response"))
            entry |= {"response": response, "response_thought_signature": signature}
        specific = delta.setdefault("provider_specific_fields", {})
        specific["server_side_tool_invocations"] = list(self.server_tools.values())

    # ---- the end --------------------------------------------------------------------------------

    def annotations(self) -> list[Json]:
        return to_annotations(self.metadata.get("groundingMetadata"), self.spoken)

    def finish_reason(self) -> str:
        """OpenAI's word for the end. Raises UpstreamInvalid for a broken answer that says nothing."""
        ending = spec.FINISH_REASONS.get(self.finish or "STOP", "other")
        if ending == "broken" and self.is_empty:
            raise UpstreamInvalid(
                f"The model's answer was unusable ({self.finish}).", provider_message=self.finish_message
            )
        if self.calls and ending in ("stop", "other", "broken"):
            return "function_call" if self.wishes.is_legacy else "tool_calls"
        match ending:
            case "length" | "content_filter":
                return ending
            case "other":
                return "content_filter" if self.is_empty else "stop"
            case "stop" | "broken":
                return "stop"

    def specifics(self) -> Json:
        """Google's own words about the end, under LiteLLM's key."""
        found = {
            "native_finish_reason": self.finish,
            "finish_message": self.finish_message,
            "continuation_token": self.continuation,
        }
        return {name: value for name, value in found.items() if value is not None}


def _parts_of(candidate: Mapping[str, Any]) -> Iterator[Json]:
    content = candidate.get("content")
    if content is None:
        return
    parts = content.get("parts") if isinstance(content, dict) else ()
    if parts is None:
        return
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise UpstreamInvalid("The provider sent an answer whose parts cannot be read.")
    yield from parts


def _passed(value: Any) -> Any:
    """JSON of the provider that goes on to the caller as it is."""
    return value if _is_shallow(value) else None


def _is_shallow(value: Any, depth: int = MAX_DEPTH) -> bool:
    """JSON that nests deeper can be read but not written again."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in inner)


def _append(delta: Json, name: str, text: str) -> None:
    """Texts are gathered in lists and joined once, however many parts an answer has."""
    if text:
        delta.setdefault(name, []).append(text)


def _object(part: Json, name: str) -> Json | None:
    value = part.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise UpstreamInvalid(f"The provider sent a {name} that cannot be read.")
    return value


def _string(holder: Json, name: str) -> str:
    value = holder.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UpstreamInvalid(f"The provider sent a {name} that is not text.")
    return value


def to_logprobs(result: Any) -> Json | None:
    """logprobsResult → OpenAI logprobs."""
    chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
    if not isinstance(chosen, list):
        return None
    tops = result.get("topCandidates")
    content = []
    for i, item in enumerate(chosen):
        top = tops[i] if isinstance(tops, list) and i < len(tops) else None
        listed = top.get("candidates") if isinstance(top, dict) else None
        shown = _token(item)
        if shown is not None:
            others = [_token(other) for other in listed] if isinstance(listed, list) else []
            content.append({**shown, "top_logprobs": [other for other in others if other is not None]})
    return {"content": content, "refusal": None}


def _token(item: Any) -> Json | None:
    if not isinstance(item, dict) or not isinstance(item.get("token"), str):
        return None
    value = item.get("logProbability", 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    token = item["token"]
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace"))}
