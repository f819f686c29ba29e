"""Provider accounts: one set of credentials at one provider. They own uploaded copies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models

from portal import env
from providers.types import Connection

if TYPE_CHECKING:
    from portal.models.reader import Reader


class ProviderAccountQuerySet(models.QuerySet["ProviderAccount"]):
    def visible_to(self, caller: Reader) -> ProviderAccountQuerySet:
        return self if caller.may_read_all else self.none()


class ProviderAccount(models.Model):
    """Secrets are sealed together as one JSON object; a value `os.environ/NAME` is read when it is used.

    `origin` names how it came: `browser`, `config`, `files_settings`, `api`. `info` holds what scripts want
    kept beside it, LiteLLM's `credential_info` and `display_name`; it decides nothing.
    """

    name = models.CharField(max_length=200, unique=True)
    provider = models.CharField(max_length=32)
    api_base = models.CharField(max_length=500, blank=True)
    api_version = models.CharField(max_length=64, blank=True)
    organization = models.CharField(max_length=200, blank=True)
    options = models.JSONField(default=dict, blank=True)
    info = models.JSONField(default=dict, blank=True)
    sealed_secrets = models.TextField(blank=True)
    secret_hints = models.JSONField(default=dict, blank=True)
    origin = models.CharField(max_length=16, default="browser")
    is_active = models.BooleanField(default=True)
    last_test = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProviderAccountQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> str:
        """Where the sealed secrets stand, authenticated with them."""
        return f"portal_provideraccount:{self.pk}:secrets"

    def set_secrets(self, secrets: dict[str, Any]) -> None:
        """Seals the secrets as given (references unresolved). The row must have been saved before."""
        assert self.pk is not None, "the row's number is sealed with its secrets"
        present = {name: value for name, value in secrets.items() if value not in (None, "")}
        self.sealed_secrets = settings.ENCRYPTION_KEYS.seal(json.dumps(present), self.place)
        self.secret_hints = {name: _hint(value) for name, value in present.items()}

    def written_secrets(self) -> dict[str, Any]:
        """The secrets as they were given. Raises CannotOpen."""
        if not self.sealed_secrets:
            return {}
        opened: dict[str, Any] = json.loads(settings.ENCRYPTION_KEYS.open(self.sealed_secrets, self.place))
        return opened

    def unset_variables(self) -> list[str]:
        """Environment variables that the account refers to and that are not set now. Raises CannotOpen."""
        places = [self.api_base, self.api_version, self.organization]
        values = [*self.written_secrets().values(), *self.options.values(), *places]
        references = [value for value in values if env.is_reference(value)]
        return [value.removeprefix(env.PREFIX) for value in references if env.resolve(value) is None]

    def connection(self) -> Connection:
        """The account as a plain value, references to the environment read now. Raises CannotOpen."""
        return self.connection_with(self.written_secrets())

    def connection_with(self, written: dict[str, Any]) -> Connection:
        """The same with secrets given as they were written, so that a form can be tried unsaved."""
        secrets = {name: _resolve(value) for name, value in written.items()}
        return Connection(
            provider=self.provider,
            api_key=secrets.pop("api_key", None),
            api_base=_resolve(self.api_base) or None,
            api_version=_resolve(self.api_version) or None,
            organization=_resolve(self.organization) or None,
            options={name: _resolve(value) for name, value in self.options.items()},
            secrets=secrets,
            account=str(self.pk or ""),
        )


def _resolve(value: Any) -> Any:
    return env.resolve(value) if isinstance(value, str) else value


def _hint(value: Any) -> str:
    """What a page may show: the variable's name, or the last four characters of a long secret."""
    if env.is_reference(value):
        return str(value)
    return (
        f"…{value[-4:]}"
        if isinstance(value, str) and len(value) >= 16 and not value.lstrip().startswith("{")
        else "set"
    )
