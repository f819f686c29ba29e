"""Function calls whose arguments arrive in pieces, each for one place in the object.

https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from providers.errors import UpstreamInvalid
from providers.types import Json

VALUES: Final = ("stringValue", "numberValue", "boolValue", "nullValue")

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,6})\]|\['([^']*)'\]")


@dataclass(slots=True)
class OpenCall:
    """A call that Google has not finished telling."""

    name: str
    id: Any
    signature: str | None
    args: Json = field(default_factory=dict)
    unfinished: str | None = None
    """The place whose text goes on in the next piece."""

    def take(self, pieces: Any) -> None:
        """Adds `partialArgs`."""
        if not isinstance(pieces, list) or not all(isinstance(piece, dict) for piece in pieces):
            raise UpstreamInvalid("The provider sent pieces of arguments that cannot be read.")
        for piece in pieces:
            path = piece.get("jsonPath")
            kind = next((name for name in VALUES if name in piece), None)
            if not isinstance(path, str) or kind is None:
                raise UpstreamInvalid("The provider sent a piece of an argument without place or value.")
            value = None if kind == "nullValue" else piece[kind]
            _put(self.args, path, value, go_on=path == self.unfinished)
            self.unfinished = path if piece.get("willContinue") is True else None


def _put(root: Json, path: str, value: Any, *, go_on: bool) -> None:
    """Sets the value at `$.a[0].b`, or adds text to what stands there."""
    steps = _steps(path)
    holder: Any = root
    for step, following in pairwise(steps):
        holder = _enter(holder, step, [] if isinstance(following, int) else {})
    last = steps[-1]
    before = _enter(holder, last, None)
    holder[last] = before + value if go_on and isinstance(before, str) and isinstance(value, str) else value


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    at = 1
    while path[:1] == "$" and at < len(path) and (found := _STEP.match(path, at)):
        steps.append(int(found[2]) if found[2] is not None else found[1] or found[3] or "")
        at = found.end()
    if not steps or at < len(path):
        raise UpstreamInvalid("The provider sent a piece of an argument for a place that cannot be read.")
    return steps


def _enter(holder: Any, step: str | int, fresh: Any) -> Any:
    """What stands at one step; `fresh` is put there when nothing does."""
    if isinstance(step, str) and isinstance(holder, dict):
        return holder.setdefault(step, fresh)
    if isinstance(step, int) and isinstance(holder, list) and step <= len(holder):
        if step == len(holder):
            holder.append(fresh)
        return holder[step]
    raise UpstreamInvalid("The provider sent a piece of an argument that fits nowhere.")
