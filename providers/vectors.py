"""What embeddings share: texts to embed, vectors in and out.

https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from providers.errors import InvalidRequest, UpstreamInvalid
from providers.types import ChatCall, Json

MAX_INPUTS: Final = 2048
FORMATS: Final = ("float", "base64")
LARGEST: Final = 1e30


def texts_of(body: Mapping[str, Any]) -> list[str]:
    """The texts to embed, for providers that read nothing else. Lists of tokens are OpenAI's and refused."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, list) and any(isinstance(item, int | list) for item in texts):
        raise InvalidRequest(
            "input must be a text or a list of texts: this model cannot read lists of tokens.", param="input"
        )
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise InvalidRequest("input must be a text or a list of texts, none of them empty.", param="input")
    if len(texts) > MAX_INPUTS:
        raise InvalidRequest(f"input may hold at most {MAX_INPUTS} texts.", param="input")
    return texts


def dimensions_of(body: Mapping[str, Any]) -> int | None:
    dimensions = body.get("dimensions")
    if dimensions is not None and (
        isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1
    ):
        raise InvalidRequest("dimensions must be a whole number of at least 1.", param="dimensions")
    return dimensions


def validate(body: Mapping[str, Any]) -> None:
    """The shape of an embeddings request, whoever serves it. Raises InvalidRequest."""
    given = body.get("input")
    if given is None or given in ("", []) or not isinstance(given, str | list):
        raise InvalidRequest("input must be a text, or a list that is not empty.", param="input")
    dimensions_of(body)
    if body.get("encoding_format") not in (None, *FORMATS):
        raise InvalidRequest("encoding_format must be float or base64.", param="encoding_format")
    if not isinstance(body.get("user"), str | None):
        raise InvalidRequest("user must be a string.", param="user")
    if not isinstance(body.get("drop_params"), bool | None):
        raise InvalidRequest("drop_params must be true or false.", param="drop_params")


def checked(values: object) -> list[float]:
    """A vector of a provider. Raises UpstreamInvalid for what is none."""
    if not isinstance(values, list) or not values:
        raise UpstreamInvalid("The provider sent an embedding without values.")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
            raise UpstreamInvalid("The provider sent an embedding that holds something else than numbers.")
    return values


def normalised(vector: list[float]) -> list[float]:
    """The vector scaled to length 1."""
    length = math.sqrt(math.fsum(value * value for value in vector))
    return [value / length for value in vector] if length else vector


def packed(vector: Sequence[float]) -> str:
    """base64 of little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def unpacked(text: str) -> list[float]:
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    except (ValueError, struct.error):
        raise UpstreamInvalid("The provider sent an embedding that cannot be unpacked.") from None


def shown(vector: list[float] | str, *, as_base64: bool) -> list[float] | str:
    """A vector in the form that the caller asked for, whichever form the provider chose."""
    if isinstance(vector, str):
        return vector if as_base64 else unpacked(vector)
    return packed(vector) if as_base64 else vector


def to_answer(call: ChatCall, vectors: Sequence[list[float] | str], prompt_tokens: int) -> Json:
    """OpenAI's list of embeddings."""
    as_base64 = call.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": shown(vector, as_base64=as_base64)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return {"object": "list", "data": data, "model": call.public_model, "usage": usage}
