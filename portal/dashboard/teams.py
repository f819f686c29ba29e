"""Teams: what they may use and spend, who belongs to them in which role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.dashboard import storage_meter, sums
from portal.dashboard.answers import add_problem, invalid, part_of_list
from portal.dashboard.file_rules_form import FileRulesForm
from portal.dashboard.filters import word
from portal.dashboard.limits_form import LimitsForm
from portal.dashboard.model_picker import PicksModels
from portal.dashboard.paging import slice_by_name
from portal.dashboard.sums import Month
from portal.dashboard.visitor import actor_of, back_to, caller_of, is_htmx, may, page, person_of
from portal.models import Membership, Team, User, VirtualKey
from portal.services import budgets, contents, file_rules, teams
from providers.errors import Conflict, Forbidden, PorticoError

MOST_MEMBERS = 500


KEEPS: Mapping[str, bool | None] = {"": None, "yes": True, "no": False}
"""Choices of `store_bodies`: as the instance does, in any case, never."""


class TeamForm(PicksModels, LimitsForm):
    """Name and models; limits, budget and whether contents are kept below."""

    without = "none chosen: all models"

    name = forms.CharField(
        max_length=200, label="Name", widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    store_bodies = forms.ChoiceField(
        required=False,
        label="What its calls say",
        help_text="Requests and answers, sealed, for admins of the team and whoever called.",
    )
    field_order = ("name", "allowed_models")

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        request: HttpRequest,
        stored: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data, stored=stored)
        self.request = request
        self.keeps = (stored or {}).get(contents.SWITCH)
        field = self.fields["store_bodies"]
        assert isinstance(field, forms.ChoiceField)
        now = "kept" if contents.is_switched_on() else "not kept"
        field.choices = [("", f"As the instance does: {now}"), ("yes", "Keep it"), ("no", "Never keep it")]
        field.initial = next(word for word, keeps in KEEPS.items() if keeps == self.keeps)

    def options(self) -> dict[str, Any]:
        keeps = KEEPS[self.cleaned_data["store_bodies"]]
        return super().options() | ({contents.SWITCH: keeps} if keeps != self.keeps else {})

    @property
    def limits(self) -> list[forms.BoundField]:
        return [self[name] for name in (*LimitsForm.base_fields, "store_bodies")]


class MemberForm(forms.Form):
    email = forms.EmailField(
        label="E-mail",
        widget=forms.EmailInput(attrs={"autocomplete": "off", "placeholder": "name@example.com"}),
    )
    role = forms.ChoiceField(choices=Membership.Role.choices, label="Role", initial=Membership.Role.MEMBER)


@require_safe
@page("teams.read")
def show_all(request: HttpRequest) -> HttpResponse:
    query = word(request.GET, "q")
    wanted = _visible(request)
    if query:
        wanted = wanted.filter(Q(name__icontains=query) | Q(team_id__startswith=query))
    found = slice_by_name(wanted, word(request.GET, "after"))
    rows, pks = found.rows, [row.pk for row in found.rows]
    people = sums.counted(Membership.objects.filter(team__in=pks), "team")
    programs = sums.counted(VirtualKey.objects.filter(team__in=pks, deleted_at=None), "team")
    known = budgets.described([budgets.team_subject(row.pk) for row in rows])
    spent = _spent_this_month(request, pks)
    context = {
        "lines": [
            (
                row,
                known[budgets.team_subject(row.pk)],
                spent.get(row.pk),
                people.get(row.pk, 0),
                programs.get(row.pk, 0),
            )
            for row in rows
        ],
        "next": found.next,
        "query": query,
        "can_create": may(request, "teams.create"),
        "month": Month.of(timezone.now()),
    }
    if is_htmx(request):
        return part_of_list(request, "dashboard/teams/rows.html", context)
    return render(request, "dashboard/teams/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page("teams.create")
def add(request: HttpRequest) -> HttpResponse:
    form = TeamForm(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid():
        try:
            team = teams.create_team(
                actor=actor_of(request),
                name=form.cleaned_data["name"],
                allowed_models=form.cleaned_data["allowed_models"],
                options=form.options(),
                figures=form.figures(),
            )
        except PorticoError as error:
            add_problem(form, error)
        else:
            messages.success(request, f"The team {team.name} was made.")
            return back_to(request, "team", team.team_id)
    if request.method == "POST":
        return invalid(request, "dashboard/teams/new.html", {"form": form}, asked=[form])
    part = "form" if is_htmx(request) else "new"
    return render(request, f"dashboard/teams/{part}.html", {"form": form})


@require_http_methods(["GET", "HEAD", "POST"])
@page("teams.read")
def show(request: HttpRequest, team_id: str) -> HttpResponse:
    team = _find(request, team_id)
    budget = budgets.described([budgets.team_subject(team.pk)])[budgets.team_subject(team.pk)]
    stored = {**team.options, "name": team.name, "allowed_models": team.allowed_models, **budget}
    form = TeamForm(request.POST or None, request=request, stored=stored)
    if request.method == "POST":
        return _change(request, team, form)
    members = list(team.memberships.select_related("user").order_by("user__email")[:MOST_MEMBERS])
    keys = VirtualKey.objects.filter(team=team, deleted_at=None)
    can_change = may(request, "teams.change", team)
    context = {
        "team": team,
        "form": form,
        "budget": budget,
        "members": members,
        "member_form": MemberForm(auto_id="member_%s"),
        "roles": Membership.Role.choices,
        "keys": keys.aggregate(all=Count("pk"), blocked=Count("pk", filter=Q(is_blocked=True))),
        "meter": (meter := storage_meter.meter_of(team.pk)),
        "rules": meter.rules,
        "rules_form": FileRulesForm(stored=file_rules.shown(meter.rules)) if can_change else None,
        "spent": _spent_this_month(request, [team.pk]).get(team.pk),
        "can_change": can_change,
        "can_manage_members": may(request, "teams.members", team),
        "keeps_contents": contents.keeps(team.options.get(contents.SWITCH)),
        "me": person_of(request),
    }
    return render(request, "dashboard/teams/detail.html", context)


@require_POST
@page()
def change_file_rules(request: HttpRequest, team_id: str) -> HttpResponse:
    team = _require(request, team_id, "teams.change")
    meter = storage_meter.meter_of(team.pk)
    form = FileRulesForm(request.POST, stored=file_rules.shown(meter.rules))
    if form.is_valid():
        try:
            teams.update_team(actor=actor_of(request), team=team, file_rules=form.rules())
        except PorticoError as error:
            name = (error.param or "").removeprefix(f"{file_rules.PARAM}.")
            form.add_error(name if name in form.fields else None, error.message)
        else:
            messages.success(request, f"The rules for the files of {team.name} were saved.")
            return back_to(request, "team", team.team_id)
    context = {"rules_form": form, "team": team, "meter": meter}
    return invalid(request, "dashboard/teams/file_rules_page.html", context, asked=[form])


@require_POST
@page()
def set_member(request: HttpRequest, team_id: str) -> HttpResponse:
    """Takes someone in by e-mail address, or changes the role of a member."""
    team = _require(request, team_id, "teams.members")
    form = MemberForm(request.POST, auto_id="member_%s")
    person = None
    if form.is_valid():
        person = User.objects.filter(email=form.cleaned_data["email"].lower()).first()
        if person is None:
            form.add_error(
                "email", "Nobody here has this address. An admin can invite them on the page People."
            )
    if person is None:
        problems = " ".join(str(problem) for errors in form.errors.values() for problem in errors)
        messages.error(request, problems)
        return back_to(request, "team", team.team_id)
    teams.set_member(actor=actor_of(request), team=team, user=person, role=form.cleaned_data["role"])
    messages.success(request, f"{person} is {form.cleaned_data['role']} of {team.name}.")
    return back_to(request, "team", team.team_id)


@require_POST
@page()
def remove_member(request: HttpRequest, team_id: str, pk: int) -> HttpResponse:
    team = _require(request, team_id, "teams.members")
    person = get_object_or_404(User, pk=pk, memberships__team=team)
    teams.remove_member(actor=actor_of(request), team=team, user=person)
    messages.success(request, f"{person} no longer belongs to {team.name}.")
    if _still_sees(request, team):
        return back_to(request, "team", team.team_id)
    return back_to(request, "teams")


@require_POST
@page()
def block(request: HttpRequest, team_id: str) -> HttpResponse:
    team = _require(request, team_id, "teams.change")
    teams.block_team(actor=actor_of(request), team=team)
    messages.success(request, f"{team.name} is blocked: its keys are refused.")
    return back_to(request, "team", team.team_id)


@require_POST
@page()
def unblock(request: HttpRequest, team_id: str) -> HttpResponse:
    team = _require(request, team_id, "teams.change")
    teams.unblock_team(actor=actor_of(request), team=team)
    messages.success(request, f"{team.name} works again.")
    return back_to(request, "team", team.team_id)


@require_POST
@page()
def delete(request: HttpRequest, team_id: str) -> HttpResponse:
    team = _require(request, team_id, "teams.change")
    try:
        teams.delete_team(actor=actor_of(request), team=team)
    except Conflict as error:
        messages.error(request, error.message)
        return back_to(request, "team", team.team_id)
    messages.success(request, f"{team.name} was deleted.")
    return back_to(request, "teams")


def _change(request: HttpRequest, team: Team, form: TeamForm) -> HttpResponse:
    _allow(request, "teams.change", team)
    if form.is_valid():
        try:
            teams.update_team(
                actor=actor_of(request),
                team=team,
                name=form.cleaned_data["name"],
                allowed_models=form.cleaned_data["allowed_models"],
                options=form.options(),
                figures=form.figures(),
            )
        except PorticoError as error:
            add_problem(form, error)
        else:
            messages.success(request, f"{team.name} was saved.")
            return back_to(request, "team", team.team_id)
    return invalid(request, "dashboard/teams/edit.html", {"form": form, "team": team}, asked=[form])


def _visible(request: HttpRequest) -> QuerySet[Team]:
    """Own teams; all of them for those who see everything."""
    caller = caller_of(request)
    return Team.objects.all() if caller.may_read_all else Team.objects.filter(pk__in=caller.team_ids)


def _find(request: HttpRequest, team_id: str) -> Team:
    return get_object_or_404(_visible(request), team_id=team_id.replace("\0", ""))


def _require(request: HttpRequest, team_id: str, action: str) -> Team:
    team = _find(request, team_id)
    _allow(request, action, team)
    return team


def _allow(request: HttpRequest, action: str, team: Team) -> None:
    if not may(request, action, team):
        raise Forbidden("Your role in this team does not allow that.")


def _still_sees(request: HttpRequest, team: Team) -> bool:
    return (
        caller_of(request).may_read_all
        or Membership.objects.filter(team=team, user=person_of(request)).exists()
    )


def _spent_this_month(request: HttpRequest, teams: Sequence[int]) -> dict[Any, sums.Total]:
    month = Month.of(timezone.now())
    days = sums.visible_days(caller_of(request)).filter(day__gte=month.first, team_number__in=teams)
    return sums.by_group(days, "team_number")
