"""Requests: the ledger as a list with filters, a histogram over it, one request with its reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from files.models import ManagedFile
from portal.dashboard import charts, conversations, saved, sheets, sums
from portal.dashboard.answers import part_of_list
from portal.dashboard.paging import slice_of
from portal.dashboard.reasons import Reason, reason_for
from portal.dashboard.request_filters import DEARER, OUTCOMES, RANGES, SLOWER, RequestFilters
from portal.dashboard.visitor import caller_of, is_htmx, may, page
from portal.models import UsageRecord
from portal.services import catalog
from providers.errors import NotFound
from providers.registry import PROVIDERS

MOST_BINNED = 5_000
"""Rows that are looked at singly for a histogram; beyond that it says so."""
MOST_IN_CSV = 20_000
PAGE_SIZE = 40
"""Rows here are wide, and a page should stay light."""
TAIL_SECONDS = 3
CHAT = "/v1/chat/completions"
ENDPOINTS = {
    CHAT: "Chat completions",
    "/v1/completions": "Completions",
    "/v1/embeddings": "Embeddings",
    "/utils/token_counter": "Token counter",
}
COLUMNS = (
    "started_at", "request_id", "status", "error_code", "team", "caller_name", "endpoint", "model",
    "provider", "provider_model", "account_name", "input_tokens", "output_tokens", "cached_tokens",
    "reasoning_tokens", "cost", "duration_ms", "first_token_ms",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of the waterfall."""

    number: int
    provider: str
    deployment_id: str
    status: int
    code: str
    ms: int
    span: charts.Span
    model: str = ""
    """Named where it is another one than the call asked for first."""


@dataclass(frozen=True, slots=True)
class UsedFile:
    file_id: str
    filename: str
    delivery: str
    size: int | None
    made_from: str = ""
    """The kind of file whose text was sent, and how many bytes of text."""
    sent: int | None = None
    is_cut: bool = False


@require_safe
@page("usage.read")
def show_all(request: HttpRequest) -> HttpResponse:
    filters = RequestFilters.read(request.GET)
    cursor = request.GET.get("after", "")
    wanted = filters.rows(caller_of(request))
    found = slice_of(wanted.select_related("team"), cursor, size=PAGE_SIZE, by="started_at")
    is_live = bool(request.GET.get("live")) and not cursor
    context: dict[str, Any] = {
        "slice": found,
        "filters": filters,
        "is_live": is_live,
        "poll": f"{request.get_full_path()}" if is_live else "",
        "pause": f"{TAIL_SECONDS}s",
        "range_title": RANGES[filters.range][0],
        "last": None if found.rows else _last(_visible(request)),
    }
    if not cursor:
        chart, is_partial = _histogram(request, filters, wanted)
        context |= {"chart": chart, "is_partial": is_partial}
    if is_htmx(request) and request.GET.get("live"):
        return render(request, "dashboard/requests/rows.html", context)
    if is_htmx(request):
        return part_of_list(request, "dashboard/requests/rows.html", context)
    context |= {
        "ranges": {name: title for name, (title, _, _) in RANGES.items()},
        "outcomes": {name: title for name, (title, _) in OUTCOMES.items()},
        "slower": {name: title for name, (title, _) in SLOWER.items()},
        "dearer": {name: title for name, (title, _) in DEARER.items()},
        "models": sorted(entry.name for entry in catalog.models_for(caller_of(request))),
        "providers": {name: provider.title for name, provider in PROVIDERS.items()},
        "endpoints": ENDPOINTS,
        "views": saved.views_of(request, "requests"),
    }
    return render(request, "dashboard/requests/list.html", context)


@require_safe
@page("usage.read")
def export(request: HttpRequest) -> HttpResponse:
    """The filtered rows, newest first, as far as a spreadsheet wants them."""
    rows = RequestFilters.read(request.GET).rows(caller_of(request)).select_related("team")
    newest = rows.order_by("-started_at", "-pk")[:MOST_IN_CSV]
    lines = ([_cell(row, name) for name in COLUMNS] for row in newest.iterator(chunk_size=2_000))
    return sheets.answer("requests.csv", COLUMNS, lines)


@require_safe
@page("usage.read")
def show(request: HttpRequest, request_id: str) -> HttpResponse:
    row = _find(request, request_id)
    reason = reason_for(row.status, row.error_code)
    files = _files(request, row)
    context = {
        "row": row,
        "reason": reason,
        "place": _place(request, reason, row, files),
        "attempts": _attempts(row),
        "files": files,
        "counts": _counts(row),
        "content": conversations.shown(request, row),
        "may_switch": may(request, "settings.change"),
        "replay": _replay(row) if may(request, "playground.use") and row.endpoint == CHAT else "",
    }
    part = "drawer" if is_htmx(request) else "detail"
    return render(request, f"dashboard/requests/{part}.html", context)


def _visible(request: HttpRequest) -> QuerySet[UsageRecord]:
    return UsageRecord.objects.visible_to(caller_of(request))


def _find(request: HttpRequest, request_id: str) -> UsageRecord:
    rows = _visible(request).select_related("team", "key", "user")
    row = rows.filter(request_id=request_id.replace("\0", "")).first()
    if row is None:
        raise NotFound("There is no such request.")
    return row


def _last(rows: QuerySet[UsageRecord]) -> datetime | None:
    """When the last call was, for an empty list."""
    return rows.order_by("-started_at", "-pk").values_list("started_at", flat=True).first()


def _histogram(
    request: HttpRequest, filters: RequestFilters, wanted: QuerySet[UsageRecord]
) -> tuple[charts.Chart, bool]:
    """Calls over time, the failed ones on top; True where only the newest could be looked at."""
    is_partial = False
    if filters.is_summable:
        good, bad = _of_sums(request, filters)
    else:
        good, bad, is_partial = _of_rows(filters, wanted)
    points = []
    for number in range(_bin(filters, filters.until) + 1):
        label = _label(filters.since + number * filters.step, filters.step)
        figures = good[number], bad[number]
        points.append(charts.Point(label, figures, (f"{figures[0]:,} succeeded", f"{figures[1]:,} failed")))
    title = (
        f"{good.total() + bad.total():,} requests, {bad.total():,} failed, {RANGES[filters.range][0].lower()}"
    )
    top = f"{max((sum(point.values) for point in points), default=0):,.0f}"
    return charts.bars(title, ("Time (UTC)", "Succeeded", "Failed"), points, top=top), is_partial


def _of_sums(request: HttpRequest, filters: RequestFilters) -> tuple[Counter[int], Counter[int]]:
    good: Counter[int] = Counter()
    bad: Counter[int] = Counter()
    for moment, total in sums.by_moment(filters.sums(caller_of(request))).items():
        place = _bin(filters, moment)
        good[place] += 0 if filters.outcome == "failed" else total.calls - total.failed
        bad[place] += 0 if filters.outcome == "ok" else total.failed
    return good, bad


def _of_rows(
    filters: RequestFilters, wanted: QuerySet[UsageRecord]
) -> tuple[Counter[int], Counter[int], bool]:
    good: Counter[int] = Counter()
    bad: Counter[int] = Counter()
    newest = wanted.filter(started_at__gte=filters.since).order_by("-started_at", "-pk")
    looked_at = list(newest.values_list("started_at", "status")[: MOST_BINNED + 1])
    for started_at, status in looked_at[:MOST_BINNED]:
        (good if status < 400 else bad)[_bin(filters, started_at)] += 1
    return good, bad, len(looked_at) > MOST_BINNED


def _bin(filters: RequestFilters, moment: datetime) -> int:
    return int((moment - filters.since) // filters.step)


def _label(moment: datetime, step: timedelta) -> str:
    if step >= timedelta(days=1):
        return f"{moment:%-d %b}"
    return f"{moment:%-d %b %H:%M}" if step > timedelta(hours=1) else f"{moment:%H:%M}"


def _attempts(row: UsageRecord) -> list[Attempt]:
    lengths = [float(entry.get("ms") or 0) for entry in row.attempts]
    return [
        Attempt(
            number,
            str(entry.get("provider", "")),
            str(entry.get("deployment", "")),
            int(entry.get("status") or 0),
            str(entry.get("code", "")),
            int(entry.get("ms") or 0),
            span,
            str(entry.get("model", "")) if entry.get("fallback") else "",
        )
        for number, (entry, span) in enumerate(
            zip(row.attempts, charts.spans(lengths, float(row.duration_ms)), strict=True), start=1
        )
    ]


def _files(request: HttpRequest, row: UsageRecord) -> list[UsedFile]:
    """Names only of files that the person may see now."""
    ids = [str(entry.get("file_id", "")) for entry in row.files]
    known = ManagedFile.objects.visible_to(caller_of(request)).filter(pk__in=ids) if ids else ()
    names = {file.pk: file.filename for file in known}
    return [
        UsedFile(
            pk,
            names.get(pk) or str(entry.get("filename", "")),
            str(entry.get("delivery", "")),
            entry.get("bytes"),
            str(entry.get("made_from", "")),
            entry.get("sent_bytes"),
            bool(entry.get("is_cut")),
        )
        for pk, entry in zip(ids, row.files, strict=True)
    ]


def _counts(row: UsageRecord) -> list[tuple[str, Any]]:
    """Token counts that the provider told beside the usual ones."""
    found = []
    for name, value in row.usage.items():
        inner = value.items() if isinstance(value, dict) else ()
        found += [(f"{name} · {key}", number) for key, number in inner if number]
    return found


def _place(request: HttpRequest, reason: Reason | None, row: UsageRecord, files: list[UsedFile]) -> str:
    """The address where this can be mended, when this person may go there."""
    match reason.place if reason else "":
        case "" | "key":
            return ""
        case "file":
            visible = next((file.file_id for file in files if file.file_id and file.filename), None)
            return reverse("file", args=[visible]) if visible else reverse("files")
        case "providers":
            return reverse("providers") if may(request, "accounts.read") else ""
        case "settings":
            return reverse("settings") if may(request, "settings.read") else ""
        case "keys" if row.key is not None and row.key.deleted_at is None:
            return reverse("key", args=[row.key.pk])
        case "teams" if row.team is not None:
            return reverse("team", args=[row.team.team_id])
        case place:
            return reverse(place)


def _replay(row: UsageRecord) -> str:
    """The playground, which fills in what is known of this request."""
    return f"{reverse('playground')}?{urlencode({'replay': row.request_id})}"


def _cell(row: UsageRecord, name: str) -> Any:
    match name:
        case "team":
            return row.team.name if row.team else ""
        case "started_at":
            return row.started_at.astimezone(timezone.get_default_timezone()).isoformat()
        case _:
            return getattr(row, name)
