"""Getting in and out: the set-up link, invitations, sign-in by e-mail, the team switcher."""

from __future__ import annotations

from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django import forms
from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from portal.dashboard import attempts
from portal.dashboard.answers import add_problem
from portal.dashboard.visitor import TEAM, person_of
from portal.models import Invitation, User
from portal.services import invitations, setup, single_sign_on
from providers.errors import Forbidden, NotFound, PorticoError

BACKEND = "django.contrib.auth.backends.ModelBackend"


class SignInForm(AuthenticationForm):
    """E-mail and password. After too many failures it asks for patience before it looks at the password."""

    error_messages = {
        "invalid_login": "This e-mail address and password do not match an active account.",
        "inactive": "This account is switched off.",
        "too_many": "Too many failed attempts. Try again in %(minutes)d minutes.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "E-mail"
        self.fields["username"].widget = forms.EmailInput(
            attrs={"autocomplete": "username", "autofocus": True, "maxlength": 254}
        )

    def clean_username(self) -> str:
        return str(self.cleaned_data["username"]).lower()

    def clean(self) -> dict[str, Any]:
        email = self.cleaned_data.get("username", "")
        if attempts.are_exhausted(self.request, email):
            raise forms.ValidationError(
                self.error_messages["too_many"], code="too_many", params={"minutes": attempts.MINUTES}
            )
        try:
            cleaned = super().clean()
        except forms.ValidationError:
            attempts.count(self.request, email)
            raise
        attempts.forget(self.request, email)
        return cleaned


class SetupForm(forms.Form):
    name = forms.CharField(
        max_length=150,
        required=False,
        label="Your name",
        widget=forms.TextInput(attrs={"autocomplete": "name", "autofocus": True}),
    )
    email = forms.EmailField(label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(
        label="Password",
        strip=False,
        max_length=1024,
        help_text="At least 12 characters.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class JoinForm(SetupForm):
    """What an invited person fills in. An invitation for one address fixes it."""

    def __init__(self, *args: Any, invitation: Invitation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if invitation.email:
            self.fields["email"].disabled = True
            self.initial["email"] = invitation.email


class SignIn(LoginView):
    """The password is the first step; who has set up a second one is asked for it before they are in."""

    template_name = "registration/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        person = form.get_user()
        step = Login(user=person, redirect_url=self.get_success_url())
        answer: HttpResponse = perform_password_login(self.request, {"email": person.email}, step)
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            is_new=setup.is_needed(), single_sign_on=single_sign_on.provider(), **kwargs
        )


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def set_up(request: HttpRequest, token: str) -> HttpResponse:
    """Makes the owner and signs them in. A used or unknown link shows where a new one comes from."""
    if not setup.is_valid(token):
        return _closed(request)
    form = SetupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            owner = setup.claim(token=token, **form.cleaned_data)
        except NotFound:
            return _closed(request)
        except PorticoError as error:
            add_problem(form, error)
        else:
            login(request, owner, backend=BACKEND)
            return redirect("overview")
    return render(request, "registration/setup.html", {"form": form}, status=422 if form.errors else 200)


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Accepts an invitation: a new person gets an account, one who is signed in joins the team."""
    try:
        invitation = invitations.find(token)
    except NotFound:
        return render(request, "registration/invitation_closed.html", status=404)
    context = {"invitation": invitation, "token": token, "single_sign_on": single_sign_on.provider()}
    if isinstance(request.user, User):
        return _join_team(request, token, context)
    form = JoinForm(request.POST or None, invitation=invitation)
    if request.method == "POST" and form.is_valid():
        try:
            person = invitations.accept(token=token, **form.cleaned_data)
        except NotFound:
            return render(request, "registration/invitation_closed.html", status=404)
        except PorticoError as error:
            add_problem(form, error)
        else:
            login(request, person, backend=BACKEND)
            return redirect("overview")
    return render(
        request, "registration/join.html", context | {"form": form}, status=422 if form.errors else 200
    )


def _join_team(request: HttpRequest, token: str, context: dict[str, Any]) -> HttpResponse:
    if request.method == "POST":
        try:
            team = invitations.join(token=token, person=person_of(request))
        except NotFound:
            return render(request, "registration/invitation_closed.html", status=404)
        except Forbidden as error:
            return render(request, "registration/join_team.html", context | {"error": error}, status=403)
        if team is not None:
            request.session[TEAM] = team.pk
        return redirect("overview")
    return render(request, "registration/join_team.html", context)


def _closed(request: HttpRequest) -> HttpResponse:
    context = {"is_needed": setup.is_needed()}
    return render(request, "registration/setup_closed.html", context, status=404)
