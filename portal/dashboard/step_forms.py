"""The forms of second steps: codes to type, passkeys to name."""

from __future__ import annotations

from typing import Any

from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm, EditWebAuthnForm
from django import forms
from django.core.validators import MaxLengthValidator

NAME_LENGTH = 100


class CodeForm(AuthenticateForm):  # type: ignore[misc]  # untyped library
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _ease_typing(self.fields["code"])


class ConfirmByCodeForm(ReauthenticateForm):  # type: ignore[misc]  # untyped library
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _ease_typing(self.fields["code"])


class NewAppForm(ActivateTOTPForm):  # type: ignore[misc]  # untyped library
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _ease_typing(self.fields["code"])
        self.fields["code"].label = "Code that the app shows"


class NewPasskeyForm(AddWebAuthnForm):  # type: ignore[misc]  # untyped library
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _bound(self.fields["name"])
        self.fields["name"].help_text = "So that you can tell them apart, for example: laptop."
        passwordless = self.fields["passwordless"]
        passwordless.label = "Also sign in with it alone, without a password"
        passwordless.help_text = (
            "The device asks for finger, face or PIN. Otherwise it is a second step only."
        )
        passwordless.initial = True


class PasskeyNameForm(EditWebAuthnForm):  # type: ignore[misc]  # untyped library
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _bound(self.fields["name"])


def _ease_typing(field: forms.Field) -> None:
    """Recovery codes are digits as well."""
    field.widget.attrs.pop("placeholder", None)
    field.widget.attrs.update(inputmode="numeric", autofocus=True, maxlength=20)


def _bound(field: forms.Field) -> None:
    field.validators.append(MaxLengthValidator(NAME_LENGTH))
    field.widget.attrs.update(maxlength=NAME_LENGTH, autocomplete="off")
