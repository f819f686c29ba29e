"""embedding, aembedding: texts as vectors.

https://docs.litellm.ai/docs/embedding/supported_embedding
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from providers.client.accounts import Selection, target_of_model
from providers.client.requests import Manner
from providers.client.results import EmbeddingResponse
from providers.client.runner import runner
from providers.errors import InvalidRequest
from providers.types import ChatCall, Json


def embedding(model: str, input: str | Sequence[Any] = (), **arguments: Any) -> EmbeddingResponse:  # noqa: A002 - OpenAI's name
    """One vector for each input. `arguments`: dimensions, encoding_format, user, the provider's own, and
    those of `completion` that say whom to ask and how."""
    return runner.wait(_ask(model, input, arguments))


async def aembedding(model: str, input: str | Sequence[Any] = (), **arguments: Any) -> EmbeddingResponse:  # noqa: A002 - OpenAI's name
    """As embedding."""
    return await runner.run(_ask(model, input, arguments))


async def _ask(model: str, given: str | Sequence[Any], arguments: dict[str, Any]) -> EmbeddingResponse:
    arguments = dict(arguments)
    target = target_of_model(model, Selection.take(arguments), [])
    manner = Manner.take(arguments)
    drops = arguments.pop("drop_params", None)
    embed = target.provider.embed
    if embed is None:
        raise InvalidRequest(f"{target.provider.title} has no embeddings.", param="model")
    body: Json = {"model": target.model, "input": given if isinstance(given, str) else list(given)}
    body |= {name: value for name, value in arguments.items() if value is not None}
    call = ChatCall(target.model, target.model, body, drop_params=drops is True)

    async def once() -> EmbeddingResponse:
        call.warnings.clear()
        answer = await runner.http.run(manner.flow(embed(target.connection, call)))
        return EmbeddingResponse.warned(EmbeddingResponse(answer), call.warnings)

    return await manner.repeated(once)
