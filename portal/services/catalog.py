"""The in-process picture of models, keys, teams and settings that every request reads without a query.

A background loop looks at one row (Revision) several times a second and reads again what changed. A snapshot
is never changed: calls in flight keep theirs.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from django.conf import settings

from files.database import in_thread
from portal.models import Revision
from portal.services import snapshot_reading
from portal.services.plans import DeploymentPlan, plan
from portal.services.snapshots import KeyEntry, ModelEntry, SettingsEntry, Snapshot, TeamEntry
from providers import registry
from providers.errors import ModelNotFound

__all__ = [
    "DeploymentPlan",
    "KeyEntry",
    "ModelEntry",
    "SettingsEntry",
    "Snapshot",
    "TeamEntry",
    "find_model",
    "forget",
    "models_for",
    "plan",
    "refresh",
    "refresh_soon",
    "snapshot",
    "watch",
]

SOON_SECONDS = 0.1
"""Unknown keys ask the database at most this often, all together."""

logger = logging.getLogger(__name__)
_lock = threading.Lock()
_current: Snapshot | None = None
_checked_at = 0.0
_planned: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()


class MayUse(Protocol):
    """Whoever asks for models."""

    def may_use(self, model: str) -> bool: ...

    def alias(self, name: str) -> str | None: ...


def snapshot() -> Snapshot:
    """The current picture, without a query once it was loaded."""
    return _current or refresh()


def is_loaded() -> bool:
    return _current is not None


def refresh() -> Snapshot:
    """Reads what changed since the last time: one small query when nothing did. Raises django.db.Error."""
    global _current, _checked_at
    with _lock:
        _checked_at = time.monotonic()
        revision = Revision.latest()
        if _current is None or _current.revision != revision:
            _current = snapshot_reading.build(_current, revision)
        return _current


def forget() -> None:
    """Makes the next use load everything anew."""
    global _current
    with _lock:
        _current = None


async def watch(stop: asyncio.Event) -> None:
    """Refreshes until told to stop. With the database away the last picture stays valid.

    A loop that ended with a failure would leave revoked keys valid, so each look is a task of its own, whose
    outcome is only told of.
    """
    is_failing = False
    while not stop.is_set():
        look = asyncio.create_task(in_thread(refresh))
        look.add_done_callback(_look_at_failure)
        await asyncio.wait([look])
        failure = look.exception()
        if failure is not None and not is_failing:
            logger.error(
                "the catalog could not be refreshed, the last picture stays in use", exc_info=failure
            )
        elif failure is None and is_failing:
            logger.info("the catalog is current again")
        is_failing = failure is not None
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), settings.REFRESH_SECONDS)


async def refresh_soon() -> None:
    """Returns after a refresh that began after this call. Many callers share one. Raises django.db.Error."""
    loop = asyncio.get_running_loop()
    task = _planned.get(loop)
    if task is None or task.done():
        task = _planned[loop] = loop.create_task(_refresh_when_due(loop))
        task.add_done_callback(_look_at_failure)
    await asyncio.shield(task)


def _look_at_failure(task: asyncio.Task[Any]) -> None:
    """Whoever waited was told; asyncio complains of failures that nobody is left to look at."""
    if not task.cancelled():
        task.exception()


async def _refresh_when_due(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.sleep(max(0.0, _checked_at + SOON_SECONDS - time.monotonic()))
    # Whoever comes from here on may ask for something that this query no longer sees.
    _planned.pop(loop, None)
    await in_thread(refresh)


def find_model(name: str, caller: MayUse) -> ModelEntry:
    """The model that a caller means by a name. Raises ModelNotFound for unknown and forbidden names alike.

    In this order: an alias of `router_settings.model_group_alias`, a public name, a provider's own name
    (`vertex_ai/gemini-2.0-flash`) when only one model has it, a wildcard model.
    """
    now = snapshot()
    own = caller.alias(name)
    if own is not None:
        # Whoever makes a key chooses its aliases, so an alias opens nothing that the key may not use anyway.
        if own in now.models and caller.may_use(own):
            return now.models[own]
        raise _not_found(name)
    alias = now.aliases.get(name)
    entry = now.models.get(alias.model if alias else name)
    if entry is not None and not entry.is_wildcard:
        if caller.may_use(name) or caller.may_use(entry.name):
            return entry
        raise _not_found(name)
    provider, provider_model = registry.split_model(name)
    entry = now.of_provider(provider, provider_model) if provider else None
    if entry is not None and (caller.may_use(name) or caller.may_use(entry.name)):
        return entry
    entry = now.of_wildcard(name)
    if entry is not None and caller.may_use(name):
        return entry
    raise _not_found(name)


def models_for(caller: MayUse) -> list[ModelEntry]:
    """The models to list for a caller, by name; aliases included, wildcards not."""
    now = snapshot()
    listed = [entry for entry in now.models.values() if not entry.is_wildcard and caller.may_use(entry.name)]
    for name, alias in now.aliases.items():
        entry = now.models.get(alias.model)
        if entry and not alias.is_hidden and (caller.may_use(name) or caller.may_use(entry.name)):
            listed.append(entry.named(name))
    return sorted(listed, key=lambda entry: entry.name)


def _not_found(name: str) -> ModelNotFound:
    return ModelNotFound(
        f"The model `{name[:200]}` does not exist or you do not have access to it.", param="model"
    )
