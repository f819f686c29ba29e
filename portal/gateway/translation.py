"""Shows what a request becomes on its way to a provider, and which parameters survive it. Sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from portal.gateway.calls import NO_FILES, to_chat_call, to_request, validate, validate_model
from portal.services.catalog import DeploymentPlan
from providers import vectors
from providers.errors import InvalidRequest, PorticoError, UnsupportedFile, UnsupportedParameter
from providers.messages import references
from providers.params import OPENAI
from providers.types import HttpRequest, Json

HIDDEN = "•••"
OPEN_HEADERS = frozenset({"accept", "accept-encoding", "content-type", "user-agent"})
"""Headers that cannot hold a secret; what others say is masked."""
TOOL: Json = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
}
SAMPLES: Mapping[str, Json] = {
    "audio": {"audio": {"voice": "alloy", "format": "pcm16"}, "modalities": ["text", "audio"]},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "function_call": {"function_call": "auto", "functions": [TOOL["function"]]},
    "functions": {"functions": [TOOL["function"]]},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "logprobs": {"logprobs": True},
    "max_completion_tokens": {"max_completion_tokens": 64},
    "max_tokens": {"max_tokens": 64},
    "metadata": {"metadata": {"a": "b"}},
    "modalities": {"modalities": ["text"]},
    "moderation": {"moderation": {"type": "auto"}},
    "n": {"n": 2},
    "parallel_tool_calls": {"parallel_tool_calls": False, "tools": [TOOL]},
    "prediction": {"prediction": {"type": "content", "content": "so"}},
    "presence_penalty": {"presence_penalty": 0.5},
    "prompt_cache_key": {"prompt_cache_key": "a"},
    "prompt_cache_options": {"prompt_cache_options": {"mode": "auto"}},
    "prompt_cache_retention": {"prompt_cache_retention": "24h"},
    "reasoning_effort": {"reasoning_effort": "low"},
    "response_format": {"response_format": {"type": "json_object"}},
    "safety_identifier": {"safety_identifier": "a"},
    "seed": {"seed": 7},
    "service_tier": {"service_tier": "default"},
    "stop": {"stop": ["end"]},
    "store": {"store": True},
    "stream": {"stream": True},
    "stream_options": {"stream": True, "stream_options": {"include_usage": True}},
    "temperature": {"temperature": 0.5},
    "tool_choice": {"tool_choice": "auto", "tools": [TOOL]},
    "tools": {"tools": [TOOL]},
    "top_logprobs": {"logprobs": True, "top_logprobs": 3},
    "top_p": {"top_p": 0.5},
    "user": {"user": "a"},
    "verbosity": {"verbosity": "low"},
    "web_search_options": {"web_search_options": {}},
}
"""An ordinary request with each of OpenAI's parameters; `params.OPENAI` has the names."""
QUESTION: Json = {"messages": [{"role": "user", "content": "Hello"}]}


@dataclass(frozen=True, slots=True)
class Shown:
    """A request to a provider without its secrets. `warnings`: what was dropped or changed."""

    method: str
    address: str
    headers: Mapping[str, str]
    body: Any
    warnings: tuple[str, ...]


def supported(plan: DeploymentPlan) -> list[str]:
    """OpenAI's parameters that reach this model, as the translation of a call says itself."""
    return [name for name in OPENAI if _is_taken(plan, SAMPLES[name])]


def chat_request(plan: DeploymentPlan, body: Json) -> Shown:
    """What a chat request becomes. Raises what the call would be refused with before it is sent."""
    validate(body)
    _require_no_files(body)
    call = to_chat_call(plan, body, NO_FILES)
    return _shown(to_request(plan, call), tuple(call.warnings))


def embedding_request(plan: DeploymentPlan, body: Json) -> Shown:
    """The same of a request for vectors; of several requests the first."""
    validate_model(body)
    vectors.validate(body)
    if plan.provider.embed is None:
        raise InvalidRequest(f"{plan.provider.title} has no embeddings here.", code="unsupported_endpoint")
    call = to_chat_call(plan, body, NO_FILES)
    flow = plan.provider.embed(plan.connection, call)
    try:
        request = next(flow)
    finally:
        flow.close()
    assert isinstance(request, HttpRequest), "a flow of vectors begins with a request"
    return _shown(request, tuple(call.warnings))


def _is_taken(plan: DeploymentPlan, sample: Json) -> bool:
    body = {"model": plan.model, **QUESTION, **sample, "drop_params": False}
    try:
        plan.provider.to_chat(plan.connection, to_chat_call(plan, body, NO_FILES))
    except UnsupportedParameter:
        return False
    except PorticoError:
        return True  # the parameter is known; this value of it is not to the model's liking
    return True


def _require_no_files(body: Json) -> None:
    """Whether a file goes as a copy, inline or by address is decided when a call is made."""
    if found := references(body["messages"]):
        raise UnsupportedFile("Files are looked up only when a call is made.", param=found[0].path)


def _shown(request: HttpRequest, warnings: tuple[str, ...]) -> Shown:
    headers = {
        name: value if name.lower() in OPEN_HEADERS else HIDDEN for name, value in request.headers.items()
    }
    if request.bearer is not None:
        headers["authorization"] = f"Bearer {HIDDEN}"
    parts = urlsplit(request.url)
    address = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    body = orjson.loads(request.body) if isinstance(request.body, bytes) else None
    return Shown(request.method, address, headers, body, warnings)
