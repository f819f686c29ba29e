"""Virtual keys: list, make with the secret shown once, block, delete."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import retarget

from portal.dashboard import charts, offered, saved, snippets, sums
from portal.dashboard.answers import add_problem, invalid, is_current, part_of_list, uncached
from portal.dashboard.filters import is_number, word
from portal.dashboard.limits_form import LimitsForm
from portal.dashboard.model_picker import PicksModels
from portal.dashboard.paging import slice_of
from portal.dashboard.visitor import (
    actor_of,
    back_to,
    caller_of,
    is_htmx,
    may,
    page,
    person_of,
    team_of,
    teams_of,
)
from portal.models import Team, UsageKeyDay, VirtualKey
from portal.services import budgets, keys
from providers.errors import Forbidden, PorticoError

LIVES = (
    ("", "Never"),
    ("7", "In 7 days"),
    ("30", "In 30 days"),
    ("90", "In 90 days"),
    ("365", "In a year"),
)
ROTATIONS = (
    ("", "Never"),
    ("30d", "Every 30 days"),
    ("90d", "Every 90 days"),
    ("180d", "Every 180 days"),
    ("365d", "Every year"),
)
KEEP = "keep"
OVERLAPS = (("0", "At once"), ("1", "After an hour"), ("24", "After a day"), ("168", "After a week"))
DAYS_SHOWN = 30


class KeyForm(PicksModels, LimitsForm):
    """No ticked model stands for all of the team's."""

    without = "none chosen: all of the team"

    name = forms.CharField(
        max_length=200,
        label="Name",
        help_text="Where it is used, for example the program's name.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    team = forms.ModelChoiceField(Team.objects.none(), label="Team", empty_label=None)
    days = forms.ChoiceField(choices=LIVES, required=False, label="Expires")
    rotation_interval = forms.ChoiceField(
        choices=ROTATIONS,
        required=False,
        label="Ask for a new value",
        help_text="Its holder is reminded; the new value is shown when they choose Roll.",
    )

    def __init__(
        self, *args: Any, request: HttpRequest, key: VirtualKey | None = None, **kwargs: Any
    ) -> None:
        initial = {"team": key.team if key else team_of(request)}
        super().__init__(*args, initial=initial, auto_id="key_%s", **kwargs)
        self.request = request
        own = [team.pk for team in teams_of(request) if may(request, "keys.create", team)]
        team, days = self.fields["team"], self.fields["days"]
        assert isinstance(team, forms.ModelChoiceField)
        assert isinstance(days, forms.ChoiceField)
        team.queryset = Team.objects.filter(pk__in=own)
        if key is not None:
            self.fields["allowed_models"].initial = key.allowed_models
            self.fields["name"].initial = key.name
            del self.fields["name"].widget.attrs["autofocus"]
            del self.fields["team"]
            rotation = self.fields["rotation_interval"]
            assert isinstance(rotation, forms.ChoiceField)
            rotation.initial = key.rotation_interval
            if key.rotation_interval not in dict(ROTATIONS):
                rotation.choices = [*ROTATIONS, (key.rotation_interval, f"Every {key.rotation_interval}")]
            if key.expires_at is not None:
                days.choices = [(KEEP, f"As it is: {key.expires_at:%-d %b %Y, %H:%M} UTC"), *LIVES]
                days.initial = KEEP

    @property
    def limits(self) -> list[forms.BoundField]:
        return [self[name] for name in LimitsForm.base_fields]

    @property
    def opens_limits(self) -> bool:
        return any(self[name].value() or self[name].errors for name in LimitsForm.base_fields)

    def values(self) -> dict[str, Any]:
        """What keys.create_key and update_key take."""
        days = self.cleaned_data["days"]
        found: dict[str, Any] = {
            name: self.cleaned_data[name]
            for name in ("name", "team", "allowed_models")
            if name in self.cleaned_data
        }
        found |= {"options": self.options(), "figures": self.figures()}
        found["rotation_interval"] = self.cleaned_data["rotation_interval"]
        if days != KEEP:
            found["expires_at"] = timezone.now() + timedelta(days=int(days)) if days else None
        return found


@require_safe
@page("keys.read")
def show_all(request: HttpRequest) -> HttpResponse:
    rows = VirtualKey.objects.visible_to(caller_of(request)).select_related("team", "user")
    query, team = word(request.GET, "q"), word(request.GET, "team")
    if query:
        rows = rows.filter(Q(name__icontains=query) | Q(hint__icontains=query))
    if is_number(team):
        rows = rows.filter(team_id=int(team))
    found = slice_of(rows, request.GET.get("after", ""))
    manageable = {key.pk for key in found.rows if may(request, "keys.manage", key)}
    context = {
        "slice": found,
        "manageable": manageable,
        "query": query,
        "team": team,
        "is_filtered": bool(query or team),
        "can_create": may(request, "keys.create"),
        "now": timezone.now(),
        "budgets": _budgets(found.rows),
        "views": saved.views_of(request, "keys"),
    }
    if is_htmx(request):
        return part_of_list(request, "dashboard/keys/rows.html", context)
    return render(request, "dashboard/keys/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page("keys.create")
def add(request: HttpRequest) -> HttpResponse:
    form = KeyForm(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid() and (made := _make(request, form)):
        return _show_secret(request, *made)
    if request.method == "POST":
        return invalid(request, "dashboard/keys/new.html", {"form": form}, asked=[form])
    part = "form" if is_htmx(request) else "new"
    return render(request, f"dashboard/keys/{part}.html", {"form": form})


@require_http_methods(["GET", "HEAD", "POST"])
@page("keys.read")
def show(request: HttpRequest, pk: int) -> HttpResponse:
    """One key: what it is for, may and did; the form for those who may change it."""
    key = find(request, pk)
    can_manage = may(request, "keys.manage", key)
    subject = budgets.key_subject(key.pk)
    budget = budgets.described([subject])[subject]
    form = KeyForm(request.POST or None, request=request, key=key, stored={**key.options, **budget})
    if request.method == "POST":
        return _change(request, key, form)
    now = timezone.now()
    first = (now - timedelta(days=DAYS_SHOWN - 1)).date()
    days = sums.by_day(UsageKeyDay.objects.filter(key_number=key.pk, day__gte=first))
    context = {
        "key": key,
        "form": form,
        "budget": budget,
        "can_manage": can_manage,
        "overlaps": OVERLAPS,
        "now": now,
        "whole": sums.total_of(days.values()),
        "chart": _chart(days, now),
        "curl": snippets.chat_curl(
            snippets.base_url(request), snippets.PLACEHOLDER_KEY, _example(request, key)
        ),
    }
    return render(request, "dashboard/keys/detail.html", context)


@require_POST
@page()
def roll(request: HttpRequest, pk: int) -> HttpResponse:
    """A new value for a key; the old one goes on working for a while, so that programs can change over."""
    key = _manageable(request, pk)
    hours = request.POST.get("hours", "0")
    overlap = timedelta(hours=int(hours)) if hours in dict(OVERLAPS) else timedelta(0)
    secret = keys.rotate_key(actor=actor_of(request), key=key, overlap=overlap)
    return _show_secret(request, key, secret)


@require_POST
@page()
def block(request: HttpRequest, pk: int) -> HttpResponse:
    key = _manageable(request, pk)
    keys.block_key(actor=actor_of(request), key=key)
    messages.success(request, f"{key.name} is blocked.")
    return back_to(request, "keys")


@require_POST
@page()
def unblock(request: HttpRequest, pk: int) -> HttpResponse:
    key = _manageable(request, pk)
    keys.unblock_key(actor=actor_of(request), key=key)
    messages.success(request, f"{key.name} works again.")
    return back_to(request, "keys")


@require_POST
@page()
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    key = _manageable(request, pk)
    keys.delete_key(actor=actor_of(request), key=key)
    messages.success(request, f"{key.name} was deleted.")
    return back_to(request, "keys")


def _budgets(rows: list[VirtualKey]) -> dict[int, dict[str, Any]]:
    known = budgets.described([budgets.key_subject(key.pk) for key in rows])
    return {key.pk: known[budgets.key_subject(key.pk)] for key in rows}


def find(request: HttpRequest, pk: int) -> VirtualKey:
    rows = VirtualKey.objects.visible_to(caller_of(request)).select_related("team", "user")
    return get_object_or_404(rows, pk=pk)


def _change(request: HttpRequest, key: VirtualKey, form: KeyForm) -> HttpResponse:
    if not may(request, "keys.manage", key):
        raise Forbidden("Only team admins and the key's owner may change this key.")
    if form.is_valid() and is_current(request, form, key.updated_at):
        try:
            keys.update_key(actor=actor_of(request), key=key, **form.values())
        except PorticoError as error:
            add_problem(form, error)
        else:
            messages.success(request, f"{key.name} was saved.")
            return back_to(request, "key", key.pk)
    return invalid(request, "dashboard/keys/edit.html", {"form": form, "key": key}, asked=[form])


def _chart(days: dict[date, sums.Total], now: datetime) -> charts.Chart:
    shown = [(now - timedelta(days=back)).date() for back in reversed(range(DAYS_SHOWN))]
    points = []
    for day in shown:
        total = days.get(day, sums.Total())
        texts = (f"{total.calls - total.failed:,}", f"{total.failed:,}")
        points.append(charts.Point(f"{day:%-d %b}", (total.calls - total.failed, total.failed), texts))
    top = f"{max(sum(point.values) for point in points):,.0f}"
    return charts.bars("Requests per day", ("Day (UTC)", "Succeeded", "Failed"), points, top=top)


def _example(request: HttpRequest, key: VirtualKey) -> str:
    """A model that this key may use, for the snippets."""
    names = key.allowed_models or [offer.name for offer in offered.models_of(request)]
    return names[0] if names else snippets.PLACEHOLDER_MODEL


def _make(request: HttpRequest, form: KeyForm) -> tuple[VirtualKey, str] | None:
    try:
        return keys.create_key(actor=actor_of(request), user=person_of(request), **form.values())
    except PorticoError as error:
        add_problem(form, error)
        return None


def _show_secret(request: HttpRequest, key: VirtualKey, secret: str) -> HttpResponse:
    """The only answer that ever holds the secret."""
    model = _example(request, key)
    base = snippets.base_url(request)
    context = {
        "key": key,
        "secret": secret,
        "curl": snippets.chat_curl(base, secret, model),
        "openai": snippets.chat_openai(base, secret, model),
    }
    part = "made" if is_htmx(request) else "made_page"
    response = uncached(render(request, f"dashboard/keys/{part}.html", context))
    return retarget(response, "#key-box") if is_htmx(request) and "name" in request.POST else response


def _manageable(request: HttpRequest, pk: int) -> VirtualKey:
    key = find(request, pk)
    if not may(request, "keys.manage", key):
        raise Forbidden("Only team admins and the key's owner may change this key.")
    return key
