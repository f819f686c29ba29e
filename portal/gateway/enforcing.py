"""Holds answers against the schemas that callers want enforced, so that no schema holds up the other callers.

Counting steps bounds every rule but regular expressions: schemas with those are judged in a process of their
own, which is ended when it takes too long.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

import orjson

import providers
from portal.gateway.settlement import Settlement, answer_characters
from providers.errors import InvalidRequest, PorticoError
from providers.structured import PARAM, Enforcement, require
from providers.types import Json

SECONDS: Final = 5.0
ROOT: Final = str(Path(providers.__file__).resolve().parents[1])
AT_ONCE: Final = 2
"""Judges at a time, so that they leave something of the machine to the calls."""

_judges: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def enforce(enforcement: Enforcement, texts: Iterable[str]) -> None:
    """Raises JSONSchemaValidationError for the first text that does not fit."""
    for text in texts:
        if enforcement.has_patterns:
            require(text, await _judged_apart(enforcement.schema, text))
        else:
            require(text, enforcement.problem(text))


async def hold(answer: Json, enforcement: Enforcement, settlement: Settlement) -> None:
    """Raises JSONSchemaValidationError for a whole answer that does not fit, and settles what it cost: the
    model has worked all the same."""
    try:
        await enforce(enforcement, enforcement.texts(answer))
    except PorticoError as error:
        settlement.fail(error, answer.get("usage"), answer_characters(answer))
        raise


async def _judged_apart(schema: Json, text: str) -> str | None:
    async with _judges.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)):
        judge = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "providers.structured"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            env={"PYTHONPATH": ROOT},
        )
        try:
            async with asyncio.timeout(SECONDS):
                said, _ = await judge.communicate(orjson.dumps({"schema": schema, "text": text}))
        except TimeoutError:
            raise InvalidRequest(
                "The schema's regular expressions take too long to check an answer.", param=PARAM
            ) from None
        finally:
            if judge.returncode is None:
                judge.kill()
                await judge.wait()
    verdict = orjson.loads(said)
    if "refused" in verdict:
        raise InvalidRequest(verdict["refused"], param=PARAM)
    problem: str | None = verdict["problem"]
    return problem
