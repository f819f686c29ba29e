"""Which models answer in a model's place: shown with the models, changed by admins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods

from portal.dashboard.answers import add_problem, invalid
from portal.dashboard.visitor import actor_of, back_to, page
from portal.models import Model, Settings
from portal.services import fallbacks
from portal.services.fallbacks import KINDS, Kind
from providers.errors import InvalidRequest

TITLES: Mapping[Kind, tuple[str, str]] = {
    "fallbacks": (
        "When it fails",
        "Overloaded, down, out of quota, refused credentials, or unable to take a file or parameter.",
    ),
    "context_window_fallbacks": ("When a request is too long", "Models that read more at once."),
    "content_policy_fallbacks": (
        "When its content filter refuses",
        "What one provider refuses is then shown to another.",
    ),
}


class FallbacksForm(forms.Form):
    """Three lists of names, one on each line."""

    def __init__(self, *args: object, lists: Mapping[Kind, Iterable[str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they came
        for kind in KINDS:
            title, meaning = TITLES[kind]
            self.fields[kind] = forms.CharField(
                required=False,
                label=title,
                initial="\n".join(lists[kind]),
                help_text=f"{meaning} One model on each line, asked in this order.",
                widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocomplete": "off"}),
            )

    def lists(self) -> dict[Kind, list[str]]:
        return {
            kind: [line.strip() for line in self.cleaned_data[kind].splitlines() if line.strip()]
            for kind in KINDS
        }


@require_http_methods(["GET", "HEAD", "POST"])
@page("models.change")
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    model = get_object_or_404(Model, pk=pk)
    data = request.POST if request.method == "POST" else None
    form = FallbacksForm(data, lists=fallbacks.of_model(Settings.current(), model.name))
    names = Model.objects.exclude(pk=pk).order_by("name").values_list("name", flat=True)
    context = {"form": form, "model": model, "names": names}
    if request.method != "POST":
        return render(request, "dashboard/models/fallbacks.html", context)
    if form.is_valid():
        try:
            fallbacks.set_fallbacks(actor=actor_of(request), model=model, lists=form.lists())
        except InvalidRequest as error:
            add_problem(form, error)
        else:
            messages.success(request, f"The fallbacks of {model.name} were saved.")
            return back_to(request, "models")
    return invalid(request, "dashboard/models/fallbacks.html", context, asked=[form])


def shown(models: Iterable[Model]) -> dict[str, list[tuple[str, list[str]]]]:
    """By model, the titles and names of its lists; only models that the person sees are named."""
    listed = list(models)
    seen = {model.name for model in listed}
    row = Settings.objects.filter(pk=1).first() or Settings(pk=1)
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for model in listed:
        lists = fallbacks.of_model(row, model.name)
        named = [(TITLES[kind][0], [name for name in lists[kind] if name in seen]) for kind in KINDS]
        found[model.name] = [(title, names) for title, names in named if names]
    return found
