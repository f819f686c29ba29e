"""Provider accounts: list, add, change, test, delete."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from files.models import ProviderFileMapping
from portal.crypto import CannotOpen
from portal.dashboard import sums, tested
from portal.dashboard.account_form import AccountForm
from portal.dashboard.answers import add_problem, invalid, is_current
from portal.dashboard.visitor import actor_of, back_to, caller_of, is_htmx, may, page
from portal.env import BadEnvironment
from portal.models import Deployment, ProviderAccount
from portal.services import accounts, trials
from portal.services.audit import Actor
from providers.errors import Conflict, PorticoError
from providers.http import SyncClient
from providers.registry import PROVIDERS, provider
from providers.types import Connection, Provider

FIRST_CHOICE = "gemini"
"""The card that is chosen at first: the provider most people begin with."""


@require_safe
@page("accounts.read")
def show_all(request: HttpRequest) -> HttpResponse:
    accounts = list(ProviderAccount.objects.visible_to(caller_of(request)).order_by("name"))
    # Two counts over two joins would multiply, so each has a query of its own.
    used = sums.counted(Deployment.objects.all(), "account")
    copies = ProviderFileMapping.objects.filter(state=ProviderFileMapping.State.ACTIVE)
    held = sums.counted(copies, "account")
    context = {
        "lines": [(account, used.get(account.pk, 0), held.get(account.pk, 0)) for account in accounts],
        "can_change": may(request, "accounts.change"),
    }
    return render(request, "dashboard/providers/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page("accounts.change")
def add(request: HttpRequest) -> HttpResponse:
    chosen = chosen_provider(request)
    form = AccountForm(request.POST or None, provider=chosen)
    context = {"form": form, "provider": chosen, "providers": cards()}
    if request.method == "POST" and save(request, form):
        messages.success(request, f"{form.cleaned_data['name']} was added.")
        return back_to(request, "providers")
    if request.method == "POST":
        return invalid(request, "dashboard/providers/edit.html", context, asked=[form])
    return render(request, "dashboard/providers/edit.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page("accounts.change")
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    account = find(request, pk)
    form = AccountForm(request.POST or None, provider=provider(account.provider), account=account)
    context = {"form": form, "account": account, "provider": form.provider}
    if request.method == "POST" and save(request, form):
        messages.success(request, f"{form.cleaned_data['name']} was saved.")
        return back_to(request, "providers")
    if request.method == "POST":
        return invalid(request, "dashboard/providers/edit.html", context, asked=[form])
    return render(request, "dashboard/providers/edit.html", context)


@require_POST
@page("accounts.change")
def test(request: HttpRequest) -> HttpResponse:
    """Asks the provider for its models with the credentials on the screen, before they are saved."""
    named = request.POST.get("account", "")
    account = find(request, int(named)) if named.isdecimal() else None
    chosen = provider(account.provider) if account else chosen_provider(request)
    form = AccountForm(request.POST, provider=chosen, account=account)
    context: dict[str, Any] = {
        "form": form,
        "account": account,
        "provider": chosen,
        "providers": cards(),
    }
    if not form.is_valid():
        return invalid(request, "dashboard/providers/edit.html", context, asked=[form])
    names, problem = names_of_models(form)
    sealed = tested.seal(request.POST, {"ok": not problem, "ms": None, "error": problem})
    context |= {"names": names, "problem": problem, "tested": sealed}
    part = "trial" if is_htmx(request) else "edit"
    return render(request, f"dashboard/providers/{part}.html", context)


@require_POST
@page("accounts.change")
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    account = find(request, pk)
    try:
        accounts.delete_account(actor=actor_of(request), account=account)
    except Conflict as error:
        messages.error(request, error.message)
        return back_to(request, "edit-provider", pk)
    messages.success(request, f"{account.name} was deleted.")
    return back_to(request, "providers")


def find(request: HttpRequest, pk: int) -> ProviderAccount:
    return get_object_or_404(ProviderAccount.objects.visible_to(caller_of(request)), pk=pk)


def chosen_provider(request: HttpRequest) -> Provider:
    """The one whose card was chosen."""
    return provider(request.GET.get("provider") or FIRST_CHOICE)


def cards() -> list[Provider]:
    return sorted(PROVIDERS.values(), key=lambda row: row.title)


def save(request: HttpRequest, form: AccountForm) -> ProviderAccount | None:
    """Makes or changes the account; None with the problems in the form."""
    changed_at = form.account.updated_at if form.account else None
    if not form.is_valid() or not is_current(request, form, changed_at):
        return None
    values: dict[str, Any] = {
        "name": form.cleaned_data["name"],
        "options": form.options(),
        "secrets": form.secrets(),
        **form.columns(),
    }
    try:
        with transaction.atomic():
            account = _write(actor_of(request), form, values)
            if outcome := tested.unseal(request.POST):
                trials.record_trial(target=account, at=timezone.now(), **outcome)
            return account
    except (PorticoError, CannotOpen) as error:
        add_problem(form, error)
        return None


def _write(actor: Actor, form: AccountForm, values: dict[str, Any]) -> ProviderAccount:
    if form.account is None:
        return accounts.create_account(actor=actor, provider=form.provider.name, **values)
    return accounts.update_account(actor=actor, account=form.account, **values)


def names_of_models(form: AccountForm) -> tuple[list[str], str]:
    """The provider's own model ids and what went wrong."""
    try:
        return ask_for_models(form.provider, form.connection()), ""
    except PorticoError as error:
        return [], " ".join(text for text in (error.message, error.provider_message) if text)
    except (CannotOpen, BadEnvironment) as error:
        return [], str(error)


def ask_for_models(asked: Provider, connection: Connection) -> list[str]:
    with SyncClient() as client:
        return sorted(client.run(asked.list_models(connection)))
