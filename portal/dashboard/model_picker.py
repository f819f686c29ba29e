"""The choice of models in forms: a box for each model and access group, a text for patterns and the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest

from portal.dashboard.visitor import caller_of
from portal.services import catalog, validation
from providers.errors import InvalidRequest

PARAM = "allowed_models"


@dataclass(frozen=True, slots=True)
class Choice:
    """A name that may be ticked, and what it stands for."""

    name: str
    told: str
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Picker:
    """What the page shows of the field: the chosen first; `others` has no box, one name in each line."""

    field: forms.BoundField
    choices: list[Choice]
    others: str
    without: str
    """What no choice at all means."""

    @property
    def chosen(self) -> int:
        return sum(choice.is_chosen for choice in self.choices)


class NamesField(forms.MultipleChoiceField):
    """Ticked names and lines of typed ones, all sent under one name. Any name will do: it only narrows."""

    def to_python(self, value: Any) -> list[str]:
        try:
            return validation.model_names(lines_of(super().to_python(value)), param=PARAM)
        except InvalidRequest as error:
            raise forms.ValidationError(error.message) from error

    def valid_value(self, value: str) -> bool:
        return True


class PicksModels(forms.Form):
    """A form with the models that somebody may use."""

    request: HttpRequest
    without = "none ticked: all"

    allowed_models = NamesField(required=False, label="Models")

    @property
    def picker(self) -> Picker:
        field = self[PARAM]
        named = lines_of(field.value() or [])
        known = offers_of(self.request)
        chosen = [Choice(name, known[name], is_chosen=True) for name in named if name in known]
        others = [Choice(name, told) for name, told in known.items() if name not in set(named)]
        typed = "\n".join(name for name in named if name not in known)
        return Picker(field, chosen + others, typed, self.without)


def offers_of(request: HttpRequest) -> dict[str, str]:
    """Access groups, then models by name: what the person may hand on, with what each is."""
    catalog.refresh()
    caller, known = caller_of(request), catalog.snapshot()
    groups = {
        name: f"Group of {len(models)} model{'s' if len(models) > 1 else ''}"
        for name, models in sorted(known.access_groups.items())
        if all(map(caller.may_use, models))
    }
    wildcards = [entry for entry in known.models.values() if entry.is_wildcard and caller.may_use(entry.name)]
    models = sorted([*catalog.models_for(caller), *wildcards], key=lambda entry: entry.name)
    return groups | {entry.name: _told(entry) for entry in models}


def _told(entry: catalog.ModelEntry) -> str:
    titles = ", ".join(dict.fromkeys(plan.provider.title for plan in entry.deployments))
    return titles if entry.mode == "chat" else f"{titles} · {entry.mode}"


def lines_of(texts: Iterable[str]) -> list[str]:
    """The names in these texts, each once."""
    return list(dict.fromkeys(name for text in texts for line in text.splitlines() if (name := line.strip())))
