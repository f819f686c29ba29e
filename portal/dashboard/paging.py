"""Keyset pages: the next one begins behind a row, so that long lists stay quick and nothing shows twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet

Row = TypeVar("Row", bound=Model)
PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Slice(Generic[Row]):
    """Rows of one page and the cursor of the next, empty on the last."""

    rows: list[Row]
    next: str


def slice_of(
    rows: QuerySet[Row],
    after: str,
    *,
    size: int = PAGE_SIZE,
    by: str = "created_at",
    joins: Sequence[str] = (),
) -> Slice[Row]:
    """Newest first, by the time `by` and primary key. A cursor that is not ours means the first page.

    `joins` as for select_related, where no index knows the order: they are read for the page's rows alone.
    """
    behind = _behind(after, by)
    if behind is not None:
        rows = rows.filter(behind)
    newest = rows.order_by(f"-{by}", "-pk")
    if joins:
        chosen = rows.model._default_manager.filter(pk__in=newest.values("pk")[: size + 1])
        newest = chosen.select_related(*joins).order_by(f"-{by}", "-pk")
    found = list(newest[: size + 1])
    shown = found[:size]
    return Slice(shown, _cursor(shown[-1], by) if len(found) > size else "")


def slice_by_name(rows: QuerySet[Row], after: str, *, size: int = PAGE_SIZE) -> Slice[Row]:
    """By `name`, which is unique; the name is the cursor."""
    found = list(rows.filter(name__gt=after).order_by("name")[: size + 1])
    shown: list[Any] = found[:size]
    return Slice(shown, shown[-1].name if len(found) > size else "")


def _cursor(row: Any, by: str) -> str:
    return f"{getattr(row, by).astimezone(UTC).isoformat()}~{row.pk}"


def _behind(cursor: str, by: str) -> Q | None:
    moment, mark, pk = cursor.partition("~")
    if not mark or "\0" in pk:
        return None
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    # Said first as a plain bound, which an index can begin at.
    return Q(**{f"{by}__lte": at}) & (Q(**{f"{by}__lt": at}) | Q(pk__lt=pk))
