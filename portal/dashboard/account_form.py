"""The form of a provider account: its fields come from the provider's registry row."""

from __future__ import annotations

from typing import Any

from django import forms

from portal.models import ProviderAccount
from providers.types import Connection, Field, Provider

COLUMNS = ("api_base", "api_version", "organization")
LONGEST_SECRET = 20_000
FROM_ENVIRONMENT = "Or os.environ/NAME to read an environment variable."


class AccountForm(forms.Form):
    """Secrets are never shown again: blank keeps what is stored, Replace is typing a new value."""

    name = forms.CharField(max_length=200, label="Account name")

    def __init__(
        self, *args: Any, provider: Provider, account: ProviderAccount | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.provider = provider
        self.account = account
        self.fields["name"].initial = account.name if account else _free_name(provider)
        for field in provider.fields:
            self.fields[field.name] = _input(field, account)

    def connection(self) -> Connection:
        """The credentials exactly as they stand on the screen. Raises CannotOpen and BadEnvironment."""
        probe = ProviderAccount(provider=self.provider.name, options=self.options(), **self.columns())
        written = self.account.written_secrets() if self.account else {}
        return probe.connection_with(written | self.secrets())

    def columns(self) -> dict[str, str]:
        return {name: self.cleaned_data.get(name, "") for name in COLUMNS}

    def options(self) -> dict[str, str]:
        """What only this provider knows and what is no secret."""
        names = [
            field.name for field in self.provider.fields if not field.secret and field.name not in COLUMNS
        ]
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name]}

    def secrets(self) -> dict[str, str]:
        """Only those that were typed."""
        names = [field.name for field in self.provider.fields if field.secret]
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name]}


def _input(field: Field, account: ProviderAccount | None) -> forms.CharField:
    if field.secret:
        return _secret_input(field, account.secret_hints.get(field.name) if account else None)
    return forms.CharField(
        label=field.label,
        required=field.required,
        help_text=field.help,
        max_length=500,
        initial=_stored(field.name, account) if account else "",
        widget=forms.TextInput(
            attrs={"placeholder": field.placeholder, "autocomplete": "off", "spellcheck": "false"}
        ),
    )


def _secret_input(field: Field, hint: str | None) -> forms.CharField:
    attrs = {"placeholder": field.placeholder, "autocomplete": "off", "spellcheck": "false"}
    if hint:
        attrs["placeholder"] = f"Stored: {hint}"
    # A service account is a whole JSON document, anything else one line that no shoulder should read.
    is_document = "credentials" in field.name
    widget = (
        forms.Textarea(attrs=attrs | {"rows": 4})
        if is_document
        else forms.PasswordInput(attrs=attrs, render_value=False)
    )
    texts = [field.help, "Leave blank to keep the stored value." if hint else "", FROM_ENVIRONMENT]
    return forms.CharField(
        label=field.label,
        required=field.required and not hint,
        help_text=" ".join(text for text in texts if text),
        max_length=LONGEST_SECRET,
        widget=widget,
    )


def _stored(name: str, account: ProviderAccount) -> str:
    value = getattr(account, name) if name in COLUMNS else account.options.get(name, "")
    return str(value)


def _free_name(provider: Provider) -> str:
    """The provider's title, numbered when it is taken."""
    taken = set(
        ProviderAccount.objects.filter(name__startswith=provider.title).values_list("name", flat=True)
    )
    names = [provider.title, *(f"{provider.title} {number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)
