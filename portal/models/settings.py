"""Instance-wide state: settings from config files, the revision that workers watch, the set-up link."""

from __future__ import annotations

from django.db import models


class Settings(models.Model):
    """One row. Holds the imported `litellm_settings`, `router_settings` and `general_settings`.

    `made_here` names those that were set in the browser, as `general.alerting`: an import of a file that
    does not name them leaves them alone. `sealed_secrets` holds what goes with them and must not be read:
    addresses of webhooks, the password of the mail server. The master key is kept as a keyed hash only,
    like any other key.
    """

    litellm = models.JSONField(default=dict, blank=True)
    router = models.JSONField(default=dict, blank=True)
    general = models.JSONField(default=dict, blank=True)
    made_here = models.JSONField(default=list, blank=True)
    sealed_secrets = models.TextField(blank=True)
    sealed_environment = models.TextField(blank=True)
    answers_dropped_at = models.DateTimeField(null=True, blank=True)
    """Answers kept for repeated requests before this moment count no more."""
    master_key_digest = models.CharField(max_length=64, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "settings"

    def __str__(self) -> str:
        return "Settings"

    @classmethod
    def current(cls) -> Settings:
        """The row, made when it is missing."""
        row, _ = cls.objects.get_or_create(pk=1)
        return row


class Revision(models.Model):
    """One row, counted up in the transaction of every change that workers must see within a second."""

    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)

    @classmethod
    def advance(cls) -> int:
        """Counts up and returns the new number. Call it inside the transaction of the change."""
        if not cls.objects.filter(pk=1).update(number=models.F("number") + 1):
            cls.objects.get_or_create(pk=1)
            cls.objects.filter(pk=1).update(number=models.F("number") + 1)
        return int(cls.objects.values_list("number", flat=True).get(pk=1))

    @classmethod
    def latest(cls) -> int:
        return cls.objects.filter(pk=1).values_list("number", flat=True).first() or 0


class SetupLink(models.Model):
    """The one-time link that makes the first owner; only its keyed hash is kept."""

    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"set-up link of {self.created_at:%Y-%m-%d %H:%M}"
