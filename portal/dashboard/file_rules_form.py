"""The rules for a team's files, as a form and as facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms

from files import storage
from portal.services import file_rules

UNITS = {"": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
WRITTEN = re.compile(r"(\d{1,19}(?:\.\d{1,3})?)\s*([KMGT]?B?)", re.IGNORECASE)


class BytesField(forms.CharField):
    """`10 GB`, `500 MB` or plain bytes; blank for no bound."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput(attrs={"placeholder": "No limit", "autocomplete": "off"})
        super().__init__(required=False, max_length=30, widget=widget, **kwargs)

    def clean(self, value: Any) -> int | None:
        written = super().clean(value).strip()
        if not written:
            return None
        found = WRITTEN.fullmatch(written)
        unit = (found[2].upper() if found else "").removesuffix("B")
        if found is None or f"{unit}B" not in UNITS:
            raise forms.ValidationError("Write a size like 500 MB or 10 GB.")
        count = int(Decimal(found[1]) * UNITS[f"{unit}B"])
        if count > file_rules.MOST_BYTES:
            raise forms.ValidationError("This is too large.")
        return count

    def prepare_value(self, value: Any) -> Any:
        return written_size(value) if isinstance(value, int) else value


class FileRulesForm(forms.Form):
    """Blank means no rule of the team's own."""

    max_bytes = BytesField(label="All files together", help_text="For example 10 GB.")
    max_files = forms.IntegerField(required=False, min_value=0, max_value=2**31 - 1, label="Number of files")
    max_file_bytes = BytesField(label="A single file")
    max_bytes_per_day = BytesField(label="Uploads a day")
    keep_days = forms.IntegerField(
        required=False, min_value=1, max_value=file_rules.MOST_DAYS, label="Days that files are kept"
    )
    storage = forms.ChoiceField(required=False, label="Stored in")
    allowed_storages = forms.MultipleChoiceField(
        required=False,
        label="Storages allowed",
        help_text="None ticked: any.",
        widget=forms.CheckboxSelectMultiple,
    )
    may_share = forms.BooleanField(required=False, label="Files may be shared with other teams")

    def __init__(self, data: Mapping[str, Any] | None = None, *, stored: Mapping[str, Any]) -> None:
        super().__init__(data, initial=dict(stored), auto_id="rule_%s")
        names = [(name, name) for name in storage.aliases()]
        for field, choices in (("storage", [("", "The usual one"), *names]), ("allowed_storages", names)):
            chosen = self.fields[field]
            assert isinstance(chosen, forms.ChoiceField)
            chosen.choices = choices
        for name in ("max_files", "keep_days"):
            self.fields[name].widget.attrs["placeholder"] = "No limit"

    @property
    def bounds(self) -> list[forms.BoundField]:
        names = ("max_bytes", "max_files", "max_file_bytes", "max_bytes_per_day", "keep_days", "storage")
        return [self[name] for name in names]

    def rules(self) -> dict[str, Any]:
        """As services.file_rules takes them."""
        return {name: self.cleaned_data[name] for name in file_rules.RULES}


def written_size(count: int) -> str:
    """The shortest way to write exactly so many bytes."""
    for unit in ("TB", "GB", "MB", "KB"):
        if count and count % UNITS[unit] == 0:
            return f"{count // UNITS[unit]} {unit}"
    return str(count)
