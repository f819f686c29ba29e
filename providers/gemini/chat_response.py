"""Gemini answers, whole or streamed → OpenAI chat completions.

https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from providers.errors import PorticoError, UpstreamInvalid
from providers.gemini import audio
from providers.gemini.candidate import METADATA, Candidate, Wishes, to_logprobs
from providers.gemini.chat_errors import to_envelope, to_error
from providers.gemini.usage import to_usage
from providers.sse import END, EventReader
from providers.types import ChatCall, HttpResponse, Json

_TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}


def from_chat(call: ChatCall, response: HttpResponse) -> Json:
    """A 2xx answer as `chat.completion`. Raises UpstreamInvalid for what is none."""
    return from_body(call, _parsed(response.body))


def from_body(call: ChatCall, answer: Any) -> Json:
    """The parsed answer as `chat.completion`."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if not isinstance(answer, dict):
        raise UpstreamInvalid("The provider's answer is not an object.")
    if answer.get("error"):
        raise _error_in(answer)
    listed = _candidates(answer)
    seed = _response_id(answer)
    choices: list[Json] = []
    candidates: list[Candidate] = []
    for position, item in enumerate(listed):
        candidate = Candidate(Wishes.of(call), _index(item, position), seed)
        candidates.append(candidate)
        choices.append(_choice(call, candidate, item))
    if not choices:
        choices.append(_blocked(answer))
    completion: Json = {
        "id": f"chatcmpl-{seed}",
        "object": "chat.completion",
        "created": _created(answer),
        "model": call.public_model,
        "choices": choices,
        "usage": to_usage(answer.get("usageMetadata")),
        "system_fingerprint": None,
    }
    return completion | _extras(answer, candidates)


def _choice(call: ChatCall, candidate: Candidate, item: Json) -> Json:
    delta = candidate.take(item)
    if candidate.finish is None and candidate.is_empty:
        raise UpstreamInvalid("The provider's answer holds neither content nor a reason.")
    message: Json = {"role": "assistant", "content": delta.pop("content", None), "refusal": None, **delta}
    if "audio" in message:
        message["audio"] = _whole_audio(call, message["audio"])
    if message["content"] is None and not (candidate.calls or candidate.has_audio):
        message["content"] = ""
    for tool_call in message.get("tool_calls", ()):
        del tool_call["index"]
    if annotations := candidate.annotations():
        message["annotations"] = annotations
    choice: Json = {
        "index": candidate.index,
        "message": message,
        "logprobs": to_logprobs(item.get("logprobsResult")),
        "finish_reason": candidate.finish_reason(),
    }
    if specifics := candidate.specifics():
        choice["provider_specific_fields"] = specifics
    return choice


def _whole_audio(call: ChatCall, pieces: Json) -> Json:
    wanted = call.body.get("audio")
    as_wav = isinstance(wanted, dict) and wanted.get("format") == "wav"
    data = audio.joined(pieces.pop("pieces"), as_wav=as_wav)
    return {**pieces, "data": data}


def _blocked(answer: Json) -> Json:
    """The only choice of an answer whose prompt was refused. Anything else without candidates is broken."""
    reason = _block_reason(answer)
    if reason is None:
        raise UpstreamInvalid("The provider's answer holds no candidates.")
    return {
        "index": 0,
        "message": {"role": "assistant", "content": "", "refusal": None},
        "logprobs": None,
        "finish_reason": "content_filter",
        "provider_specific_fields": {"native_finish_reason": reason},
    }


# ---- stream -------------------------------------------------------------------------------------


class StreamReader:
    """Reads one stream of server-sent events; see types.ChunkReader.

    An error that comes after chunks in the same bytes is raised by the next call, so that nothing is lost.
    """

    def __init__(self, call: ChatCall) -> None:
        options = call.body.get("stream_options")
        self._wants_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._model = call.public_model
        self._wishes = Wishes.of(call)
        self._events = EventReader()
        self._candidates: dict[int, Candidate] = {}
        self._id: str | None = None
        self._created = int(time.time())
        self._usage: Json | None = None
        self._blocked: str | None = None
        self._last: Json = {}
        self._failure: PorticoError | None = None

    @property
    def usage(self) -> Json | None:
        return self._usage

    def feed(self, data: bytes) -> list[Json]:
        if self._failure is not None:
            raise self._failure
        return self._read(lambda: self._events.feed(data))

    def finish(self) -> list[Json]:
        chunks = self.feed(b"")
        chunks += self._read(self._events.finish)
        if self._failure is not None:
            raise self._failure
        return chunks + self._ending()

    def _read(self, events: Any) -> list[Json]:
        chunks: list[Json] = []
        try:
            for event in events():
                if event == END:
                    continue
                for item in _answers_in(event):
                    chunks += self._take(item)
        except PorticoError as failure:
            if not chunks:
                raise
            self._failure = failure
        return chunks

    def _take(self, answer: Any) -> list[Json]:
        if not isinstance(answer, dict):
            raise UpstreamInvalid("The provider's stream holds something that is not an object.")
        if answer.get("error"):
            raise _error_in(answer)
        if self._id is None:
            self._id = _response_id(answer)
        self._last = {**self._last, **{name: answer[name] for name in ("modelVersion",) if name in answer}}
        if (usage := to_usage(answer.get("usageMetadata"))) is not None:
            self._usage = usage
            self._last["usageMetadata"] = answer["usageMetadata"]
        chunks: list[Json] = []
        for position, item in enumerate(_candidates(answer)):
            index = _index(item, position)
            candidate = self._candidates.get(index)
            if candidate is None:
                candidate = self._candidates[index] = Candidate(self._wishes, index, self._id)
                chunks.append(self._chunk(index, {"role": "assistant", "content": ""}))
            delta = candidate.take(item)
            if "audio" in delta:
                pieces = delta["audio"].pop("pieces")
                delta["audio"]["data"] = audio.joined(pieces, as_wav=False)
            logprobs = to_logprobs(item.get("logprobsResult"))
            if delta or logprobs:
                chunks.append(self._chunk(index, delta, logprobs=logprobs))
        if not self._candidates and (reason := _block_reason(answer)) is not None:
            self._blocked = reason
        return chunks

    def _ending(self) -> list[Json]:
        """The finish of every candidate, then the usage when it was asked for."""
        if self._blocked is not None and not self._candidates:
            specifics = {"native_finish_reason": self._blocked}
            chunks = [
                self._chunk(0, {"role": "assistant", "content": ""}),
                self._chunk(0, {}, finish="content_filter", specifics=specifics),
            ]
        elif not self._candidates or any(item.finish is None for item in self._candidates.values()):
            raise UpstreamInvalid("The provider ended the stream before the answer was complete.")
        else:
            chunks = [chunk for item in self._candidates.values() for chunk in self._finish_of(item)]
            chunks[-1] |= _extras(self._last, list(self._candidates.values()))
        if self._wants_usage:
            chunks.append({**self._frame(), "choices": [], "usage": self._usage})
        return chunks

    def _finish_of(self, candidate: Candidate) -> list[Json]:
        reason = candidate.finish_reason()
        chunks: list[Json] = []
        if annotations := candidate.annotations():
            chunks.append(self._chunk(candidate.index, {"annotations": annotations}))
        chunks.append(self._chunk(candidate.index, {}, finish=reason, specifics=candidate.specifics()))
        return chunks

    def _frame(self) -> Json:
        return {
            "id": f"chatcmpl-{self._id}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }

    def _chunk(
        self,
        index: int,
        delta: Json,
        *,
        finish: str | None = None,
        logprobs: Json | None = None,
        specifics: Json | None = None,
    ) -> Json:
        choice: Json = {"index": index, "delta": delta, "finish_reason": finish}
        if logprobs is not None:
            choice["logprobs"] = logprobs
        if specifics:
            choice["provider_specific_fields"] = specifics
        chunk = {**self._frame(), "choices": [choice]}
        if self._wants_usage:
            chunk["usage"] = None
        return chunk


def open_stream(call: ChatCall) -> StreamReader:
    """A reader for the answer of one streamed call."""
    return StreamReader(call)


# ---- what both share ----------------------------------------------------------------------------


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        raise UpstreamInvalid("The provider's answer is not JSON.") from None


def _answers_in(event: bytes) -> list[Any]:
    """The answers of one event: one, several in a list, or one a line where a proxy ate the blank lines."""
    try:
        answer = _parsed(event)
    except UpstreamInvalid:
        if b"\n" not in event:
            raise
        answer = [_parsed(line) for line in event.split(b"\n") if line.strip()]
    return answer if isinstance(answer, list) else [answer]


def _error_in(answer: Json) -> PorticoError:
    """An error that came with status 200: its own code says what it is."""
    error = answer["error"]
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code <= 599 else 500
    return to_error(status, to_envelope(answer), {})


def _candidates(answer: Json) -> list[Json]:
    listed = answer.get("candidates")
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise UpstreamInvalid("The provider's candidates cannot be read.")
    return listed


def _index(candidate: Mapping[str, Any], position: int) -> int:
    index = candidate.get("index", position)
    return index if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < 128 else position


def _response_id(answer: Json) -> str:
    found = answer.get("responseId")
    return found if isinstance(found, str) and found else secrets.token_hex(12)


def _created(answer: Json) -> int:
    told = answer.get("createTime")
    if isinstance(told, str):
        try:
            return int(datetime.fromisoformat(told[:26].rstrip("Z") + "+00:00").timestamp())
        except ValueError:
            pass
    return int(time.time())


def _block_reason(answer: Json) -> str | None:
    feedback = answer.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    return reason if isinstance(reason, str) and reason else None


def _extras(answer: Json, candidates: Iterable[Candidate]) -> Json:
    """Fields beyond OpenAI's: raw metadata under LiteLLM's names, the model's version, the service tier."""
    extras: Json = {}
    for name, ours in METADATA.items():
        found = [candidate.metadata[name] for candidate in candidates if name in candidate.metadata]
        if found:
            extras[ours] = found
    version = answer.get("modelVersion")
    if isinstance(version, str) and version:
        extras["provider_specific_fields"] = {"model_version": version}
    usage = answer.get("usageMetadata")
    tier = usage.get("serviceTier") if isinstance(usage, dict) else None
    if isinstance(tier, str) and tier.lower() in _TIERS:
        extras["service_tier"] = _TIERS[tier.lower()]
    return extras
