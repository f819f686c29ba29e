"""The part of a form that says how much may be spent and how often may be called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from portal.services import budget_figures

DURATIONS = (("", "Never"), ("1d", "Each day"), ("7d", "Each week"), ("30d", "Each month"))
MONEY = {"max_budget": "Budget in dollars"}
COUNTS = {
    "rpm_limit": "Requests per minute",
    "tpm_limit": "Tokens per minute",
    "max_parallel_requests": "Calls at the same time",
}


class LimitsForm(forms.Form):
    """Blank means no limit. What is kept under other durations than those offered stays as it is."""

    max_budget = forms.DecimalField(
        required=False, min_value=0, max_value=budget_figures.MOST_DOLLARS, max_digits=20, decimal_places=12,
        label="Budget in dollars", help_text="Blank: no limit.",
        widget=forms.NumberInput(attrs={"step": "any", "placeholder": "No limit"}),
    )  # fmt: skip
    budget_duration = forms.ChoiceField(choices=DURATIONS, required=False, label="Budget starts anew")
    rpm_limit = forms.IntegerField(
        required=False, min_value=0, max_value=2**31 - 1, label="Requests per minute"
    )
    tpm_limit = forms.IntegerField(
        required=False, min_value=0, max_value=2**31 - 1, label="Tokens per minute"
    )
    max_parallel_requests = forms.IntegerField(
        required=False, min_value=0, max_value=2**31 - 1, label="Calls at the same time"
    )

    def __init__(self, *args: Any, stored: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in (stored or {}).items():
            if name in self.fields:
                self.fields[name].initial = value
        duration = self.fields["budget_duration"]
        assert isinstance(duration, forms.ChoiceField)
        kept = duration.initial or ""
        if kept not in dict(DURATIONS):
            duration.choices = [*DURATIONS, (kept, f"Every {kept}")]
        for name in COUNTS:
            self.fields[name].widget.attrs.setdefault("placeholder", "No limit")

    def figures(self) -> dict[str, Any]:
        """What services take as `figures`: only what differs from what was stored."""
        given = {
            "max_budget": self.cleaned_data["max_budget"],
            "budget_duration": self.cleaned_data["budget_duration"],
        }
        return {name: value for name, value in given.items() if self._differs(name, value)}

    def options(self) -> dict[str, Any]:
        """What services take as `options`: only what differs; None takes a limit away."""
        return {
            name: self.cleaned_data[name] for name in COUNTS if self._differs(name, self.cleaned_data[name])
        }

    def _differs(self, name: str, value: Any) -> bool:
        stored = self.fields[name].initial
        if name == "max_budget":
            return (None if stored is None else float(stored)) != (None if value is None else float(value))
        return (stored or None) != (value if value == 0 else value or None)
