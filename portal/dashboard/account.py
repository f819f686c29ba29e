"""A person's own account: name, password, second steps, passkeys, where they are signed in."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from portal.dashboard import attempts
from portal.dashboard.answers import add_problem
from portal.dashboard.visitor import actor_of, person_of, signed_in
from portal.models import Membership
from portal.services import people, sessions, single_sign_on
from providers.errors import PorticoError

TYPES = Authenticator.Type


class NameForm(forms.Form):
    name = forms.CharField(
        max_length=150,
        required=False,
        label="Name",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )


class PasswordForm(forms.Form):
    """The present password is asked for where there is one."""

    current = forms.CharField(
        label="Current password",
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    password = forms.CharField(
        label="New password",
        strip=False,
        max_length=1024,
        help_text="At least 12 characters. Other browsers are signed out.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        if not person_of(request).has_usable_password():
            del self.fields["current"]

    def clean_current(self) -> str:
        person, given = person_of(self.request), str(self.cleaned_data["current"])
        if attempts.are_exhausted(self.request, person.email):
            raise forms.ValidationError(f"Too many failed attempts. Try again in {attempts.MINUTES} minutes.")
        if not person.check_password(given):
            attempts.count(self.request, person.email)
            raise forms.ValidationError("This is not your current password.")
        attempts.forget(self.request, person.email)
        return given


@never_cache
@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    """Everything about one's account; posted, it changes the name."""
    person = person_of(request)
    form = NameForm(request.POST or None, initial={"name": person.first_name})
    if request.method == "POST" and form.is_valid():
        try:
            people.update_person(actor=actor_of(request), person=person, name=form.cleaned_data["name"])
        except PorticoError as error:
            add_problem(form, error)
        else:
            messages.success(request, "Your name is saved.")
            return redirect("account")
    factors = list(Authenticator.objects.filter(user=person).order_by("created_at"))
    context = {
        "form": form,
        "person": person,
        "memberships": Membership.objects.filter(user=person).select_related("team").order_by("team__name"),
        "authenticator": next((factor for factor in factors if factor.type == TYPES.TOTP), None),
        "passkeys": [factor for factor in factors if factor.type == TYPES.WEBAUTHN],
        "codes_left": _codes_left(factors),
        "single_sign_on": single_sign_on.provider(),
        "identities": SocialAccount.objects.filter(user=person).order_by("date_joined"),
        "sessions": sessions.sessions_of(person),
        "this_session": sessions.digest(request.session.session_key),
    }
    return render(request, "account/show.html", context, status=422 if form.errors else 200)


@never_cache
@sensitive_post_parameters("current", "password")
@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def change_password(request: HttpRequest) -> HttpResponse:
    """Sets a new password; every other browser is signed out."""
    person = person_of(request)
    form = PasswordForm(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid():
        try:
            people.set_password(
                actor=actor_of(request), person=person, password=form.cleaned_data["password"]
            )
        except PorticoError as error:
            add_problem(form, error)
        else:
            update_session_auth_hash(request, person)
            sessions.end_sessions(actor=actor_of(request), person=person, keep=request.session.session_key)
            messages.success(request, "Your password is changed. Other browsers are signed out.")
            return redirect("account")
    return render(request, "account/password.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@signed_in
def end_session(request: HttpRequest, pk: str) -> HttpResponse:
    """Signs out one other browser."""
    sessions.end_session(actor=actor_of(request), person=person_of(request), pk=pk)
    return redirect("account")


@require_POST
@signed_in
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    sessions.end_sessions(
        actor=actor_of(request), person=person_of(request), keep=request.session.session_key
    )
    messages.success(request, "You are signed out everywhere else.")
    return redirect("account")


@require_POST
@signed_in
@reauthentication_required(app="allauth.socialaccount")  # type: ignore[untyped-decorator]  # untyped library
def disconnect(request: HttpRequest, pk: int) -> HttpResponse:
    """Forgets an identity at the provider. The last way to sign in stays."""
    try:
        people.disconnect(actor=actor_of(request), person=person_of(request), pk=pk)
    except PorticoError as error:
        messages.error(request, error.message)
    return redirect("account")


def _codes_left(factors: list[Authenticator]) -> int | None:
    """How many recovery codes are unused; None where there are none."""
    found = next((factor for factor in factors if factor.type == TYPES.RECOVERY_CODES), None)
    return None if found is None else len(found.wrap().get_unused_codes())
