"""Sets money aside for calls in flight, so that no budget is overspent however many come at once.

Every process collects what its calls ask for and asks the database once for all of them: the windows are
locked, looked at and written in one transaction. The ledger's row settles a reservation (spend.py); one
whose process died is settled by whichever process notices.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from django.db import Error, transaction
from django.utils import timezone

from files.database import in_thread
from portal.models import BudgetWindow, Reservation, UsageRecord
from portal.services import durations
from portal.services.usage_rows import UsageRow, write

RENEW_SECONDS = 10.0
DEAD_AFTER = timedelta(seconds=45)
POLL_SECONDS = 0.03
"""How often calls that wait look again, all of a process together."""
MOST_SWEPT = 500
PROCESS_DIED = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """What one call may cost at most, and the least that is of use to it."""

    call_id: str
    windows: tuple[int, ...]
    most: Decimal
    least: Decimal
    row: Mapping[str, Any] = field(default_factory=dict)
    """What the ledger needs to know of the call should its process die."""
    unbound: frozenset[int] = frozenset()
    """Of the windows, those that count the call and do not stop it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`granted` dollars; or None, and then either `is_busy` (calls in flight hold what is left) or spent."""

    granted: Decimal | None
    is_busy: bool = False
    subject: str = ""
    """Of the window that stands in the way."""
    limit: Decimal | None = None
    resets_at: datetime | None = None
    window: int | None = None


Waiting: TypeAlias = tuple[Wish, asyncio.Future[Verdict]]


class Bookkeeper:
    """The reservations of one process."""

    def __init__(self) -> None:
        self.owner = os.urandom(8).hex()
        self._wishes: list[Waiting] = []
        self._asked: list[Waiting] = []
        """Those that the database is being asked for."""
        self._task: asyncio.Task[None] | None = None
        self._beat: asyncio.Task[None] | None = None

    async def reserve(self, wish: Wish, patience: float) -> Verdict:
        """Waits up to `patience` seconds while calls in flight hold what is left. Raises django.db.Error."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while True:
            verdict = await self._ask(wish)
            if not verdict.is_busy or loop.time() >= until:
                return verdict
            await asyncio.sleep(POLL_SECONDS)

    async def give_back(self, call_id: str) -> None:
        """Takes back what a call has set aside, before it sets aside anew. Raises django.db.Error."""
        await in_thread(release, [call_id])

    async def _ask(self, wish: Wish) -> Verdict:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Verdict] = loop.create_future()
        self._wishes.append((wish, future))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work(), name="reservations")
            self._task.add_done_callback(self._end)
        return await future

    async def _work(self) -> None:
        while self._wishes:
            self._asked, self._wishes = self._wishes, []
            try:
                verdicts = await in_thread(reserve_all, [wish for wish, _ in self._asked], self.owner)
            except Error as error:
                _fail(self._asked, error)
                continue
            left = []
            for (wish, future), verdict in zip(self._asked, verdicts, strict=True):
                if not future.done():
                    future.set_result(verdict)
                elif verdict.granted is not None:
                    left.append(wish.call_id)
            if left:
                # Their callers went away meanwhile; should this fail, the sweep finds them.
                with suppress(Error):
                    await in_thread(release, left)

    def _end(self, task: asyncio.Task[None]) -> None:
        """Whatever ended the work, nobody waits for it for ever."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            _fail([*self._asked, *self._wishes], error)
            self._wishes = []
        self._asked = []

    def start(self) -> None:
        """Begins to renew this process's reservations and to settle those of dead ones."""
        self.owner = os.urandom(8).hex()  # anew: this may be the copy of a process that was loaded before
        self._beat = asyncio.get_running_loop().create_task(self._live(), name="reservations renewed")

    async def stop(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            with suppress(asyncio.CancelledError):
                await self._beat
            self._beat = None

    async def _live(self) -> None:
        while True:
            try:
                await in_thread(renew, self.owner)
                await in_thread(sweep)
            except Error as error:
                logger.warning("reservations cannot be renewed: %s", type(error).__name__)
            await asyncio.sleep(RENEW_SECONDS)


def _fail(waiting: Iterable[Waiting], error: BaseException) -> None:
    for _, future in waiting:
        if not future.done():
            future.set_exception(error)


def reserve_all(wishes: Sequence[Wish], owner: str, now: datetime | None = None) -> list[Verdict]:
    """Grants what fits, in order. A call cancelled meanwhile is settled by its ledger row like any other."""
    moment = now or timezone.now()
    numbers = {number for wish in wishes for number in wish.windows}
    with transaction.atomic():
        rows = BudgetWindow.objects.select_for_update().filter(pk__in=numbers).order_by("pk")
        windows = {row.pk: row for row in rows}
        before = {row.pk: (row.spent, row.reserved, row.resets_at) for row in windows.values()}
        for row in windows.values():
            if row.resets_at is not None and row.resets_at <= moment:
                row.spent, row.alerted_at = Decimal(0), None
                row.resets_at = durations.next_reset(row.duration, moment)
        verdicts, made = [], []
        for wish in wishes:
            # Windows that were taken away since the call began bind nobody.
            bound = [windows[number] for number in wish.windows if number in windows]
            verdict = _judge(wish, bound, moment)
            if verdict.granted is not None:
                for row in bound:
                    row.reserved += verdict.granted
                made.append(_reservation(wish, verdict.granted, bound, owner, moment))
            verdicts.append(verdict)
        for row in windows.values():
            if before[row.pk] != (row.spent, row.reserved, row.resets_at):
                row.save(update_fields=["spent", "reserved", "resets_at", "alerted_at"])
        Reservation.objects.bulk_create(made)
    return verdicts


def renew(owner: str) -> None:
    """Says that this process lives."""
    Reservation.objects.filter(owner=owner).update(renewed_at=timezone.now())


def sweep(now: datetime | None = None) -> int:
    """Settles reservations of processes that died, as spent: nobody knows what their calls still cost."""
    moment = now or timezone.now()
    left = Reservation.objects.filter(created_at__lt=moment - DEAD_AFTER).order_by("pk")
    written = UsageRecord.objects.filter(call_id__in=left.values("call_id")).values_list("call_id", flat=True)
    settled = set(written[:MOST_SWEPT])
    if settled:
        # A call that left while its reservation was being made: its row came first.
        release(settled)
    dead = left.filter(renewed_at__lt=moment - DEAD_AFTER)[:MOST_SWEPT]
    rows = [_row_of(reservation) for reservation in dead]
    if rows:
        logger.warning("settling %d calls of processes that died", len(rows))
        write(rows)
    return len(rows) + len(settled)


def settle_dead(owner: str) -> int:
    """Settles what the calls of a process that died had set aside, as spent."""
    left = Reservation.objects.filter(owner=owner)
    written = UsageRecord.objects.filter(call_id__in=left.values("call_id")).values_list("call_id", flat=True)
    release(set(written))
    rows = [_row_of(reservation) for reservation in left]
    if rows:
        write(rows)
    return len(rows)


def _judge(wish: Wish, windows: Sequence[BudgetWindow], now: datetime) -> Verdict:
    granted = wish.most
    busy: BudgetWindow | None = None
    for row in windows:
        most = row.most_at(now)
        if most is None or row.pk in wish.unbound:
            continue
        left = most - row.spent
        if left <= 0 or left < wish.least:
            return _refused(row, now, is_busy=False)
        if wish.most <= left - row.reserved:
            continue
        if row.reserved > 0:
            busy = row
        granted = min(granted, left)
    if busy is not None:
        return _refused(busy, now, is_busy=True)
    return Verdict(granted)


def _refused(row: BudgetWindow, now: datetime, *, is_busy: bool) -> Verdict:
    return Verdict(None, is_busy, row.subject, row.most_at(now), row.resets_at, row.pk)


def _reservation(
    wish: Wish, granted: Decimal, windows: Sequence[BudgetWindow], owner: str, now: datetime
) -> Reservation:
    return Reservation(
        call_id=wish.call_id,
        amount=granted,
        windows=[row.pk for row in windows],
        owner=owner,
        row=dict(wish.row),
        created_at=now,
        renewed_at=now,
    )


def release(call_ids: Iterable[str]) -> None:
    """Gives back what these calls had set aside; their rows in the ledger, if any, settled nothing."""
    with transaction.atomic():
        found = Reservation.objects.filter(call_id__in=list(call_ids))
        numbers = {window for windows in found.values_list("windows", flat=True) for window in windows}
        rows = list(BudgetWindow.objects.select_for_update().filter(pk__in=numbers).order_by("pk"))
        # Read under the lock: others may have settled some while this waited for it.
        freed: dict[int, Decimal] = defaultdict(Decimal)
        released = [each for each in found.all() if numbers.issuperset(each.windows)]
        for reservation in released:
            for window in reservation.windows:
                freed[window] += reservation.amount
        for row in rows:
            row.reserved = max(Decimal(0), row.reserved - freed[row.pk])
            row.save(update_fields=["reserved"])
        Reservation.objects.filter(pk__in=[each.pk for each in released]).delete()


def _row_of(reservation: Reservation) -> UsageRow:
    return UsageRow(
        call_id=reservation.call_id,
        started_at=reservation.created_at,
        status=PROCESS_DIED,
        error_code="process_died",
        error_message="The process that served this call died; what it had reserved counts as spent.",
        is_estimated=True,
        cost=reservation.amount,
        windows=tuple(reservation.windows),
        **reservation.row,
    )


bookkeeper = Bookkeeper()
