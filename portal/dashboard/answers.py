"""How pages answer: problems of a form beside its fields, secrets never cached."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_htmx.http import push_url

from portal.crypto import CannotOpen
from portal.dashboard.visitor import is_htmx
from portal.env import BadEnvironment
from providers.errors import PorticoError


def invalid(
    request: HttpRequest, template: str, context: dict[str, Any], *, asked: Sequence[forms.Form]
) -> HttpResponse:
    """Shows what is wrong. htmx gets the problems alone, so that nothing that was typed is lost."""
    if is_htmx(request):
        return render(request, "components/form_problems.html", {"forms": asked}, status=422)
    return render(request, template, context, status=422)


def is_current(request: HttpRequest, form: forms.Form, changed_at: datetime | None) -> bool:
    """False, with the problem in the form, when somebody else changed the object meanwhile."""
    if changed_at is None or request.POST.get("seen", "") in ("", changed_at.isoformat()):
        return True
    form.add_error(
        None, "Somebody changed this in the meantime. Load the page again to see what is there now."
    )
    return False


def add_problem(form: forms.Form, error: PorticoError | BadEnvironment | CannotOpen) -> None:
    """Puts a service's refusal at the field it names."""
    param = getattr(error, "param", None)
    form.add_error(param if param in form.fields else None, str(error))


def part_of_list(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """The rows of a filtered list, and the address that leads to them again."""
    chosen = {name: value for name, value in request.GET.items() if value}
    address = f"{request.path}?{urlencode(chosen)}" if chosen else request.path
    return push_url(render(request, template, context), address)


def uncached(response: HttpResponse) -> HttpResponse:
    """For pages that show a secret once."""
    response["Cache-Control"] = "no-store"
    return response
