"""People: who may sign in, with which role; invitations by a link that is shown once."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import Prefetch, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import retarget

from portal.dashboard.answers import add_problem, invalid, part_of_list, uncached
from portal.dashboard.mailed import link_to
from portal.dashboard.paging import slice_of
from portal.dashboard.visitor import actor_of, back_to, is_htmx, may, page, person_of, teams_of
from portal.models import Invitation, Membership, Team, User
from portal.services import invitations, mailed_links, people, sessions
from providers.errors import PorticoError

ROLE_HELP = "What they may do everywhere. Roles inside teams are set on the team's page."


LIVES = ((1, "A day"), (7, "A week"), (30, "A month"))
MOST_OPEN = 50


class InviteForm(forms.Form):
    email = forms.EmailField(
        required=False,
        label="E-mail",
        help_text="Blank: whoever has the link names theirs.",
        widget=forms.EmailInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    days = forms.TypedChoiceField(choices=LIVES, coerce=int, initial=invitations.DAYS, label="Link works for")
    role = forms.ChoiceField(
        choices=User.Role.choices, required=False, label="Instance role", help_text=ROLE_HELP, initial=""
    )
    team = forms.ModelChoiceField(Team.objects.none(), required=False, label="Team", empty_label="None yet")
    team_role = forms.ChoiceField(
        choices=Membership.Role.choices, label="Role in the team", initial=Membership.Role.MEMBER
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        kwargs["auto_id"] = "person_%s"
        super().__init__(*args, **kwargs)
        _offer_roles(self.fields["role"], request)
        team = self.fields["team"]
        assert isinstance(team, forms.ModelChoiceField)
        team.queryset = Team.objects.filter(pk__in=[row.pk for row in teams_of(request)])

    def values(self) -> dict[str, Any]:
        """What invitations.create_invitation takes."""
        return dict(self.cleaned_data)


class PersonForm(forms.Form):
    name = forms.CharField(max_length=150, required=False, label="Name")
    email = forms.EmailField(
        required=False,
        max_length=254,
        label="E-mail",
        help_text="They sign in with it. Blank keeps it.",
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = forms.ChoiceField(
        choices=User.Role.choices, required=False, label="Instance role", help_text=ROLE_HELP
    )
    is_active = forms.BooleanField(required=False, label="May sign in; their keys work")

    def __init__(self, *args: Any, request: HttpRequest, person: User, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "name": person.first_name,
            "email": person.email,
            "role": person.role,
            "is_active": person.is_active,
        }
        super().__init__(*args, **kwargs)
        _offer_roles(self.fields["role"], request, person)

    def changes(self) -> dict[str, Any]:
        """What people.update_person takes."""
        return {name: value for name, value in self.cleaned_data.items() if name != "email" or value}


@require_safe
@page("people.read")
def show_all(request: HttpRequest) -> HttpResponse:
    memberships = Membership.objects.select_related("team").order_by("team__name")
    rows = User.objects.prefetch_related(Prefetch("memberships", memberships))
    query, state = request.GET.get("q", "").strip().replace("\0", ""), request.GET.get("state", "")
    if query:
        rows = rows.filter(Q(email__icontains=query) | Q(first_name__icontains=query))
    if state in ("active", "off"):
        rows = rows.filter(is_active=state == "active")
    context = {
        "slice": slice_of(rows, request.GET.get("after", ""), by="date_joined"),
        "query": query,
        "state": state,
        "can_change": may(request, "people.change"),
        "me": person_of(request),
        "now": timezone.now(),
    }
    if is_htmx(request):
        return part_of_list(request, "dashboard/people/rows.html", context)
    context["open"] = Invitation.objects.open().select_related("team", "invited_by")[:MOST_OPEN]
    return render(request, "dashboard/people/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page("people.change")
def invite(request: HttpRequest) -> HttpResponse:
    form = InviteForm(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid():
        try:
            made = invitations.create_invitation(actor=actor_of(request), **form.values())
        except PorticoError as error:
            add_problem(form, error)
        else:
            return _show_link(request, *made)
    if request.method == "POST":
        return invalid(request, "dashboard/people/new.html", {"form": form}, asked=[form])
    part = "form" if is_htmx(request) else "new"
    return render(request, f"dashboard/people/{part}.html", {"form": form})


@require_http_methods(["GET", "HEAD", "POST"])
@page("people.read")
def show(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    form = PersonForm(request.POST or None, request=request, person=person)
    may_reset = may(request, "people.change") and (not person.is_superuser or person_of(request).is_superuser)
    context = {
        "person": person,
        "form": form,
        "may_reset": may_reset,
        "has_second_step": Authenticator.objects.filter(user=person).exists() if may_reset else False,
        "sessions": sessions.sessions_of(person).count() if may_reset else 0,
        "memberships": person.memberships.select_related("team").order_by("team__name"),
        "keys": person.keys.filter(deleted_at=None).select_related("team")[:50],
        "can_change": may(request, "people.change"),
        "me": person_of(request),
    }
    if request.method != "POST":
        return render(request, "dashboard/people/detail.html", context)
    if not may(request, "people.change"):
        return render(request, "403.html", status=403)
    if form.is_valid():
        try:
            people.update_person(actor=actor_of(request), person=person, **form.changes())
        except PorticoError as error:
            add_problem(form, error)
        else:
            messages.success(request, f"{person} was saved.")
            return back_to(request, "people")
    return invalid(request, "dashboard/people/detail.html", context, asked=[form])


@require_POST
@page("people.change")
def sign_out(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends every session of somebody; only owners end those of owners."""
    person = get_object_or_404(User, pk=pk)
    actor = actor_of(request)
    if person.is_superuser and actor.user_id != person.pk:
        people.require_owner(actor)
    keep = request.session.session_key if person.pk == actor.user_id else None
    ended = sessions.end_sessions(actor=actor, person=person, keep=keep)
    many = "One browser was" if ended == 1 else f"{ended} browsers were"
    messages.success(request, f"{many} signed out." if ended else f"{person} was signed in nowhere.")
    return back_to(request, "person", person.pk)


@require_POST
@page("people.change")
def reset_step(request: HttpRequest, pk: int) -> HttpResponse:
    """Takes away the second step of somebody who lost it."""
    person = get_object_or_404(User, pk=pk)
    people.reset_second_step(actor=actor_of(request), person=person)
    messages.success(request, f"{person} signs in with the password alone until they set up a second step.")
    return back_to(request, "person", person.pk)


@require_POST
@page("people.change")
def password_link(request: HttpRequest, pk: int) -> HttpResponse:
    """A link with which somebody sets a new password; shown once, to be handed on."""
    person = get_object_or_404(User, pk=pk, is_active=True)
    token = mailed_links.make_password_link(actor=actor_of(request), person=person)
    context = {"person": person, "link": link_to(request, "reset-password")(token)}
    return uncached(render(request, "dashboard/people/password_link.html", context))


@require_POST
@page("people.change")
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    invitation = get_object_or_404(Invitation, pk=pk)
    invitations.withdraw(actor=actor_of(request), invitation=invitation)
    messages.success(request, "The invitation was withdrawn. Its link no longer works.")
    return back_to(request, "people")


def _show_link(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    """The only answer that holds the link."""
    start = (settings.PUBLIC_URL or request.build_absolute_uri("/")).rstrip("/")
    context = {"invitation": invitation, "link": f"{start}/join/{token}/"}
    part = "made" if is_htmx(request) else "made_page"
    response = uncached(render(request, f"dashboard/people/{part}.html", context))
    return retarget(response, "#person-box") if is_htmx(request) else response


def _offer_roles(field: forms.Field, request: HttpRequest, person: User | None = None) -> None:
    """Only owners make owners; an owner's own role stays among the choices."""
    assert isinstance(field, forms.ChoiceField)
    is_free = person_of(request).is_superuser or (person is not None and person.is_superuser)
    field.choices = [
        (value, label) for value, label in User.Role.choices if is_free or value != User.Role.OWNER
    ]
