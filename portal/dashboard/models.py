"""Models and their deployments: list, add with a test before saving, change, delete."""

from __future__ import annotations

from dataclasses import dataclass

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.db import transaction
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.dashboard import model_fallbacks, model_tests, model_trials, providers, tested
from portal.dashboard.account_form import AccountForm
from portal.dashboard.answers import add_problem, invalid, is_current, part_of_list
from portal.dashboard.filters import word
from portal.dashboard.model_form import ModelForm
from portal.dashboard.paging import slice_by_name
from portal.dashboard.visitor import actor_of, back_to, caller_of, is_htmx, may, page
from portal.gateway import routing, trial_rounds
from portal.models import Deployment, Model, ProviderAccount
from portal.services import models, trials
from providers.errors import PorticoError
from providers.registry import provider
from providers.types import Provider

ACCOUNT = "account"
"""Prefix of the fields of the account typed beside the model."""
PAGE_SIZE = 40
"""Each model is a table of its own here, and a page should stay light."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Both halves of the page: the deployment and, where a new one is wanted, the account."""

    provider: Provider
    form: ModelForm
    account_form: AccountForm
    deployment: Deployment | None = None

    @property
    def account(self) -> ProviderAccount | None:
        """The existing account that was chosen."""
        chosen: ProviderAccount | None = self.form.cleaned_data.get("account")
        return chosen

    @property
    def asked(self) -> list[AccountForm | ModelForm]:
        """The forms that count: the new account's only when no existing one was chosen."""
        takes_existing = self.deployment or self.form.data.get("account")
        return [self.form] if takes_existing else [self.form, self.account_form]

    def is_valid(self) -> bool:
        wrong = [form for form in self.asked if not form.is_valid()]
        return not wrong


@require_safe
@page("models.read")
def show_all(request: HttpRequest) -> HttpResponse:
    deployments = Prefetch("deployments", Deployment.objects.select_related("account"))
    rows = Model.objects.visible_to(caller_of(request)).prefetch_related(deployments)
    query, after = word(request.GET, "q"), word(request.GET, "after")
    found = slice_by_name(model_tests.matching(rows, query), after, size=PAGE_SIZE)
    can_change = may(request, "models.change")
    lists = model_fallbacks.shown(found.rows)
    context = {
        "slice": found,
        "cards": [(model, lists[model.name]) for model in found.rows],
        "resting": routing.resting().values(),
        "query": query,
        "is_filtered": bool(query or after),
        "can_change": can_change,
        "tests": model_tests.shown(found.rows) if can_change else None,
    }
    if is_htmx(request):
        return part_of_list(request, "dashboard/models/rows.html", context)
    return render(request, "dashboard/models/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page("models.change")
def add(request: HttpRequest) -> HttpResponse:
    return _edit(request, _draft(request))


@require_http_methods(["GET", "HEAD", "POST"])
@page("models.change")
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    return _edit(request, _draft(request, _find(pk)))


@require_POST
@page("models.change")
def test(request: HttpRequest) -> HttpResponse:
    """Runs the path of a real call with exactly the values on the screen."""
    draft = _draft(request, _find_named(request))
    if not draft.is_valid():
        return invalid(request, "dashboard/models/edit.html", _context(draft), asked=draft.asked)
    try:
        plan = model_trials.plan_of(draft)
    except PorticoError as error:
        add_problem(draft.form, error)
        return invalid(request, "dashboard/models/edit.html", _context(draft), asked=draft.asked)
    results = async_to_sync(trial_rounds.run)(plan)
    context = _context(draft) | {
        "results": results,
        "tested": tested.seal(request.POST, trial_rounds.outcome_of(results)),
    }
    part = "trial" if is_htmx(request) else "edit"
    return render(request, f"dashboard/models/{part}.html", context)


@require_POST
@page("models.change")
def choices(request: HttpRequest) -> HttpResponse:
    """The provider's own list of models, for the field that names one."""
    draft = _draft(request, _find_named(request))
    draft.form.is_valid()
    form = _account_form_for(draft)
    names, problem = providers.names_of_models(form) if form.is_valid() else ([], "")
    return render(
        request, "dashboard/models/choices.html", {"names": names, "problem": problem, **_context(draft)}
    )


@require_POST
@page("models.change")
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    deployment = _find(pk)
    models.delete_deployment(actor=actor_of(request), deployment=deployment)
    messages.success(request, f"{deployment.model.name} is no longer served by {deployment.account.name}.")
    return back_to(request, "models")


def _edit(request: HttpRequest, draft: Draft) -> HttpResponse:
    if request.method != "POST":
        return render(request, "dashboard/models/edit.html", _context(draft))
    changed_at = draft.deployment.updated_at if draft.deployment else None
    is_ready = draft.is_valid() and is_current(request, draft.form, changed_at)
    saved = _save(request, draft) if is_ready else None
    if saved is None:
        return invalid(request, "dashboard/models/edit.html", _context(draft), asked=draft.asked)
    messages.success(request, f"{saved.model.name} was saved.")
    return back_to(request, "models")


def _save(request: HttpRequest, draft: Draft) -> Deployment | None:
    """Makes or changes the deployment and the account typed beside it; None when something is wrong."""
    outcome = tested.unseal(request.POST)
    try:
        with transaction.atomic():
            account = draft.account or providers.save(request, draft.account_form)
            if account is None:
                return None
            saved = _save_deployment(request, draft, account)
            if outcome:
                trials.record_trial(target=saved, at=timezone.now(), **outcome)
            return saved
    except PorticoError as error:
        add_problem(draft.form, error)
        return None


def _save_deployment(request: HttpRequest, draft: Draft, account: ProviderAccount) -> Deployment:
    actor, values = actor_of(request), draft.form.settings()
    if draft.deployment is None:
        return models.create_deployment(actor=actor, account=account, **draft.form.names(), **values)
    return models.update_deployment(
        actor=actor,
        deployment=draft.deployment,
        account=account,
        references=draft.form.who_follows(),
        **draft.form.names(),
        **values,
    )


def _draft(request: HttpRequest, deployment: Deployment | None = None) -> Draft:
    chosen = provider(deployment.account.provider) if deployment else providers.chosen_provider(request)
    data = request.POST if request.method == "POST" else None
    rows = ProviderAccount.objects.visible_to(caller_of(request)).filter(provider=chosen.name, is_active=True)
    return Draft(
        provider=chosen,
        form=ModelForm(data, accounts=rows, deployment=deployment),
        account_form=AccountForm(data, provider=chosen, prefix=ACCOUNT),
        deployment=deployment,
    )


def _account_form_for(draft: Draft) -> AccountForm:
    """The credentials to ask with: typed ones, or those of the chosen account as they are stored."""
    account = draft.account
    if account is None:
        return draft.account_form
    stored = AccountForm(provider=draft.provider, account=account)
    data = {name: stored[name].initial or "" for name in stored.fields}
    return AccountForm(data, provider=draft.provider, account=account)


def _context(draft: Draft) -> dict[str, object]:
    return {
        "draft": draft,
        "form": draft.form,
        "account_form": draft.account_form,
        "provider": draft.provider,
        "providers": providers.cards(),
        "deployment": draft.deployment,
    }


def _find(pk: int) -> Deployment:
    """Only those who may change models get here, and they may change all of them."""
    return get_object_or_404(Deployment.objects.select_related("account", "model"), pk=pk)


def _find_named(request: HttpRequest) -> Deployment | None:
    named = request.POST.get("deployment", "")
    return _find(int(named)) if named.isdecimal() else None
