"""What calls asked and were answered: kept only where the operator says so, sealed, and for a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import Error, IntegrityError, transaction
from django.utils import timezone

from files.database import in_thread
from portal.models import CallContent, Settings, Team
from portal.models.content import place_of
from portal.services import catalog, durations
from portal.services.content_packing import pack, unpack
from providers.types import Json

if TYPE_CHECKING:
    from portal.services.access import Caller

SWITCH: Final = "store_bodies"
DAYS: Final = "bodies_retention_days"
DEFAULT_DAYS: Final = 30
LEDGER_SPAN: Final = "maximum_spend_logs_retention_period"
FLUSH_SECONDS: Final = 0.25
LONGEST_PAUSE: Final = 5.0
DRAIN_SECONDS: Final = 5.0
MOST_UNPACKED: Final = 2_000
MOST_WAITING_BYTES: Final = 64 * 2**20
"""Kept while the database is away; beyond it contents are lost. The ledger's rows are not."""
BATCH: Final = 100
PURGE_BATCH: Final = 1_000
REDACTION: Final = "x-litellm-enable-message-redaction"
OPT_OUT: Final = "no-log"
HEADERS: Final = frozenset(
    {
        "accept", "content-type", "content-length", "user-agent", "traceparent", "openai-organization",
        "openai-project", "openai-beta", "anthropic-version", "anthropic-beta",
    }
)  # fmt: skip
HEADER_FAMILIES: Final = ("x-stainless-", "x-litellm-", "x-portico-")
SECRET_HEADERS: Final = frozenset({"x-litellm-api-key"})
LONGEST_HEADER: Final = 1_000

logger = logging.getLogger(__name__)
_headers: ContextVar[Mapping[str, str]] = ContextVar("headers of the request", default=MappingProxyType({}))


@dataclass(slots=True, kw_only=True)
class Content:
    """What one call asked and was answered, as it came."""

    call_id: str
    team_id: int | None
    started_at: datetime
    headers: Mapping[str, str]
    request: Mapping[str, Any]
    answer: Json | None


@dataclass(frozen=True, slots=True)
class Kept:
    """A content as it can be read again."""

    headers: Mapping[str, str]
    request: Any
    answer: Any
    is_cut: bool


def note_headers(headers: Mapping[str, str]) -> None:
    """Tells of the request that this task serves from now on; names in lower case."""
    _headers.set(headers)


def headers_to_keep() -> dict[str, str]:
    """Those of this request that say something and are no secret."""
    return {
        name: value[:LONGEST_HEADER]
        for name, value in _headers.get().items()
        if (name in HEADERS or name.startswith(HEADER_FAMILIES)) and name not in SECRET_HEADERS
    }


def is_wanted(caller: Caller, body: Mapping[str, Any]) -> bool:
    """Is the content of this call to be kept?

    The instance's switch, or the team's own; a header and the body can only say no.
    """
    return (
        keeps(caller.team_options.store_bodies)
        and body.get(OPT_OUT) is not True
        and _headers.get().get(REDACTION, "").lower() not in ("true", "1")
    )


def keeps(of_team: bool | None) -> bool:
    """Are contents kept where a team says this of it? None: as the instance does."""
    return is_switched_on() if of_team is None else of_team


def is_switched_on() -> bool:
    """Does the instance keep the contents of calls?"""
    return catalog.snapshot().settings.general.get(SWITCH) is True


def retention_days(general: Mapping[str, Any]) -> int:
    days = general.get(DAYS)
    return days if isinstance(days, int) and days > 0 else DEFAULT_DAYS


def read(call_id: str) -> Kept | None:
    """The content of a call, None where none is kept. Raises CannotOpen."""
    row = CallContent.objects.filter(call_id=call_id).first()
    if row is None:
        return None
    found = unpack(settings.ENCRYPTION_KEYS.open(row.sealed_content, row.place))
    return Kept(found.get("headers") or {}, found.get("request"), found.get("answer"), row.is_cut)


def purge(now: datetime | None = None) -> int:
    """Removes what is older than the operator keeps it, or than the ledger's rows; returns how many."""
    general = Settings.objects.filter(pk=1).values_list("general", flat=True).first() or {}
    moment = now or timezone.now()
    oldest = moment - timedelta(days=retention_days(general))
    if written := general.get(LEDGER_SPAN):
        oldest = max(oldest, moment - durations.span(written))
    removed = 0
    while True:
        old = CallContent.objects.filter(created_at__lt=oldest).values_list("pk", flat=True)[:PURGE_BATCH]
        count, _ = CallContent.objects.filter(pk__in=list(old)).delete()
        removed += count
        if count < PURGE_BATCH:
            return removed


class Shelf:
    """Contents on their way to the database. One task packs and writes them; recording never waits."""

    def __init__(self, most_bytes: int = MOST_WAITING_BYTES) -> None:
        self._unpacked: list[Content] = []
        self._packed: list[CallContent] = []
        self._most_bytes = most_bytes
        self._lost = 0
        self._stopping: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._unpacked) + len(self._packed)

    def record(self, content: Content) -> None:
        if len(self._unpacked) < MOST_UNPACKED:
            self._unpacked.append(content)
        else:
            self._lose(1)

    def start(self) -> None:
        """Begins to write. Call it in the event loop that will also stop it."""
        self._stopping = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(self._stopping), name="content writer")

    async def stop(self) -> None:
        """Writes what is left, for a few seconds at most."""
        if self._task is None or self._stopping is None:
            return
        self._stopping.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._task, DRAIN_SECONDS)
        self._task = self._stopping = None

    async def flush(self) -> bool:
        """Writes all that waits; False when the database refused and it stays."""
        unpacked, self._unpacked = self._unpacked, []
        if unpacked:
            self._packed += await in_thread(_pack_all, unpacked)
            self._bound()
        while batch := self._packed[:BATCH]:
            try:
                await in_thread(_write, batch)
            except Error as error:
                logger.warning("contents of calls wait, the database is away: %s", type(error).__name__)
                return False
            del self._packed[: len(batch)]
        return True

    async def _run(self, stopping: asyncio.Event) -> None:
        pause = FLUSH_SECONDS
        while not stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause)
            pause = FLUSH_SECONDS if await self.flush() else min(pause * 2, LONGEST_PAUSE)

    def _bound(self) -> None:
        waiting = sum(len(row.sealed_content) for row in self._packed)
        kept = 0
        while waiting > self._most_bytes:
            waiting -= len(self._packed[kept].sealed_content)
            kept += 1
        if kept:
            del self._packed[:kept]
            self._lose(kept)

    def _lose(self, count: int) -> None:
        before, self._lost = self._lost, self._lost + count
        if before.bit_length() != self._lost.bit_length():  # the first, second, fourth, eighth …
            logger.error("contents of calls lost because they cannot be written: %d", self._lost)


def _pack_all(contents: Sequence[Content]) -> list[CallContent]:
    rows = []
    for content in contents:
        document = {"headers": content.headers, "request": content.request, "answer": content.answer}
        packed, size, is_cut = pack(document)
        rows.append(
            CallContent(
                call_id=content.call_id,
                team_id=content.team_id,
                sealed_content=settings.ENCRYPTION_KEYS.seal(packed, place_of(content.call_id)),
                size=size,
                is_cut=is_cut,
                created_at=content.started_at,
            )
        )
    return rows


def _write(rows: Sequence[CallContent]) -> None:
    try:
        _insert(rows)
    except IntegrityError:
        # A team that was removed since its calls takes their contents along.
        teams = set(Team.objects.filter(pk__in={row.team_id for row in rows}).values_list("pk", flat=True))
        _insert([row for row in rows if row.team_id in teams])


def _insert(rows: Sequence[CallContent]) -> None:
    with transaction.atomic():
        CallContent.objects.bulk_create(rows, ignore_conflicts=True)


shelf = Shelf()


def record(content: Content) -> None:
    """Hands over a finished call's content. Never waits, never fails."""
    shelf.record(content)


def start() -> None:
    shelf.start()


async def stop() -> None:
    await shelf.stop()


async def flush() -> bool:
    return await shelf.flush()
