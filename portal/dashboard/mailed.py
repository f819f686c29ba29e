"""Pages of links that come by e-mail: a forgotten password, a new address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.core import ratelimit
from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from portal.dashboard.answers import add_problem
from portal.dashboard.visitor import actor_of, person_of, signed_in
from portal.models import MailedLink
from portal.services import mailed_links
from providers.errors import NotFound, PorticoError

PURPOSE = MailedLink.Purpose


class AddressForm(forms.Form):
    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )


class NewPasswordForm(forms.Form):
    password = forms.CharField(
        label="New password",
        strip=False,
        max_length=1024,
        help_text="At least 12 characters. You are signed out everywhere.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "autofocus": True}),
    )


def link_to(request: HttpRequest, name: str) -> Callable[[str], str]:
    """The whole address of a page for a token."""
    start = (settings.PUBLIC_URL or request.build_absolute_uri("/")).rstrip("/")
    return lambda token: f"{start}{reverse(name, args=[token])}"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def forgot(request: HttpRequest) -> HttpResponseBase:
    """Sends a link that resets the password, and says the same whether or not there is an account."""
    can_send = mailed_links.can_send()
    form = AddressForm(request.POST or None)
    context: dict[str, Any] = {"form": form, "can_send": can_send, "is_sent": False}
    if request.method == "POST" and can_send and form.is_valid():
        email = form.cleaned_data["email"].lower()
        if not ratelimit.consume(request, action="reset_password", key=email):
            return render(request, "429.html", status=429)
        mailed_links.ask_for_password(email, link_to(request, "reset-password"))
        context["is_sent"] = True
    return render(request, "registration/forgot.html", context, status=422 if form.errors else 200)


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: HttpRequest, token: str) -> HttpResponseBase:
    """Sets a new password by a link; the person then signs in with it, and with their second step."""
    form = NewPasswordForm(request.POST or None)
    try:
        person = mailed_links.find(token, PURPOSE.PASSWORD).user
        if request.method == "POST" and form.is_valid():
            if not ratelimit.consume(request, action="reset_password_from_key"):
                return render(request, "429.html", status=429)
            mailed_links.reset_password(token=token, password=form.cleaned_data["password"])
            messages.success(request, "Your password is changed. Sign in with it.")
            return redirect("login")
    except NotFound:
        return render(request, "registration/link_closed.html", status=404)
    except PorticoError as error:
        add_problem(form, error)
    context = {"form": form, "person": person}
    return render(request, "registration/reset.html", context, status=422 if form.errors else 200)


@never_cache
@signed_in
@reauthentication_required(app="allauth.socialaccount")  # type: ignore[untyped-decorator]  # untyped library
@require_http_methods(["GET", "HEAD", "POST"])
def change_address(request: HttpRequest) -> HttpResponseBase:
    """Asks for a new address and sends a link there; until it is opened the present one stays."""
    can_send = mailed_links.can_send()
    form = AddressForm(request.POST or None)
    context = {"form": form, "can_send": can_send, "person": person_of(request)}
    if request.method == "POST" and can_send and form.is_valid():
        if not ratelimit.consume(request, action="manage_email", user=person_of(request)):
            return render(request, "429.html", status=429)
        email = form.cleaned_data["email"]
        mailed_links.ask_for_address(
            actor=actor_of(request),
            person=person_of(request),
            email=email,
            address=link_to(request, "confirm-address"),
        )
        messages.success(request, f"Open the link that was sent to {email}. Until then nothing changes.")
        return redirect("account")
    return render(request, "account/email.html", context, status=422 if form.errors else 200)


@never_cache
@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_address(request: HttpRequest, token: str) -> HttpResponseBase:
    """Opening the link asks, the button answers: programs that look at links in mails change nothing."""
    try:
        link = mailed_links.find(token, PURPOSE.EMAIL, person=person_of(request))
        if request.method == "POST":
            mailed_links.confirm_address(token=token, person=person_of(request))
            messages.success(request, f"Your address is now {link.email}.")
            return redirect("account")
    except NotFound:
        return render(request, "registration/link_closed.html", status=404)
    except PorticoError as error:
        messages.error(request, error.message)
        return redirect("account")
    return render(request, "account/confirm_email.html", {"link": link})
