"""Virtual keys: list, make with the secret shown once, block, delete."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import retarget

from portal.dashboard import offered, snippets
from portal.dashboard.answers import add_problem, invalid, part_of_list, uncached
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
from portal.models import Team, VirtualKey
from portal.services import keys
from providers.errors import Forbidden, PorticoError

LIVES = (
    ("", "Never"),
    ("7", "In 7 days"),
    ("30", "In 30 days"),
    ("90", "In 90 days"),
    ("365", "In a year"),
)


class KeyForm(forms.Form):
    """No ticked model stands for all of the team's."""

    name = forms.CharField(
        max_length=200,
        label="Name",
        help_text="Where it is used, for example the program's name.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    team = forms.ModelChoiceField(Team.objects.none(), label="Team", empty_label=None)
    allowed_models = forms.MultipleChoiceField(required=False, label="Models")
    days = forms.ChoiceField(choices=LIVES, required=False, label="Expires")

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        kwargs |= {"initial": {"team": team_of(request)}, "auto_id": "key_%s"}
        super().__init__(*args, **kwargs)
        own = [team.pk for team in teams_of(request) if may(request, "keys.create", team)]
        team, models = self.fields["team"], self.fields["allowed_models"]
        assert isinstance(team, forms.ModelChoiceField)
        assert isinstance(models, forms.MultipleChoiceField)
        team.queryset = Team.objects.filter(pk__in=own)
        models.choices = [(offer.name, offer.providers) for offer in offered.models_of(request)]

    def ticked(self) -> list[str]:
        return list(self["allowed_models"].value() or [])

    def values(self) -> dict[str, Any]:
        """What keys.create_key takes."""
        days = self.cleaned_data["days"]
        return {
            "name": self.cleaned_data["name"],
            "team": self.cleaned_data["team"],
            "allowed_models": self.cleaned_data["allowed_models"],
            "expires_at": timezone.now() + timedelta(days=int(days)) if days else None,
        }


@require_safe
@page("keys.read")
def show_all(request: HttpRequest) -> HttpResponse:
    rows = VirtualKey.objects.visible_to(caller_of(request)).select_related("team", "user")
    query, team = request.GET.get("q", "").strip().replace("\0", ""), request.GET.get("team", "")
    if query:
        rows = rows.filter(Q(name__icontains=query) | Q(hint__icontains=query))
    if team.isdecimal():
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


def _make(request: HttpRequest, form: KeyForm) -> tuple[VirtualKey, str] | None:
    try:
        return keys.create_key(actor=actor_of(request), user=person_of(request), **form.values())
    except PorticoError as error:
        add_problem(form, error)
        return None


def _show_secret(request: HttpRequest, key: VirtualKey, secret: str) -> HttpResponse:
    """The only answer that ever holds the secret."""
    models = key.allowed_models or [offer.name for offer in offered.models_of(request)]
    model = models[0] if models else snippets.PLACEHOLDER_MODEL
    base = snippets.base_url(request)
    context = {
        "key": key,
        "secret": secret,
        "curl": snippets.chat_curl(base, secret, model),
        "openai": snippets.chat_openai(base, secret, model),
    }
    part = "made" if is_htmx(request) else "made_page"
    response = uncached(render(request, f"dashboard/keys/{part}.html", context))
    return retarget(response, "#key-box") if is_htmx(request) else response


def _manageable(request: HttpRequest, pk: int) -> VirtualKey:
    key = get_object_or_404(VirtualKey.objects.visible_to(caller_of(request)), pk=pk)
    if not may(request, "keys.manage", key):
        raise Forbidden("Only team admins and the key's owner may change this key.")
    return key
