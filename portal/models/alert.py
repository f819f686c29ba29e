"""What is worth telling people, and the messages that tell them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class Alert(models.Model):
    """One condition, from when it was first seen until it is gone.

    `fingerprint` names the condition, so that an open one is told once. `facts` is what a webhook carries
    beside the text; nothing in it is secret. `path` leads to the page where something can be done.
    """

    fingerprint = models.CharField(max_length=300, db_index=True)
    kind = models.CharField(max_length=32)
    event = models.CharField(max_length=64)
    title = models.CharField(max_length=300)
    text = models.TextField(blank=True)
    facts = models.JSONField(default=dict, blank=True)
    path = models.CharField(max_length=300, blank=True)
    opened_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True, blank=True, db_index=True)

    class Meta:
        ordering = ("-opened_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("fingerprint",),
                condition=models.Q(resolved_at=None),
                name="one_open_alert_per_condition",
            ),
        )

    def __str__(self) -> str:
        return self.title


class Message(models.Model):
    """Something to be sent by one channel; the row is the job, a Celery message only wakes a worker.

    The content is sealed, as it may hold the link that resets a password, and is forgotten once it was sent
    or given up. Who sends it holds a lease.
    """

    class Channel(models.TextChoices):
        EMAIL = "email", "E-mail"
        SLACK = "slack", "Slack"
        WEBHOOK = "webhook", "Webhook"

    channel = models.CharField(max_length=16, choices=Channel.choices)
    recipient = models.EmailField("e-mail", blank=True)
    target = models.CharField(max_length=300, blank=True)
    """Which of several addresses of a channel: a reference to the environment, empty for the usual one."""
    title = models.CharField(max_length=300)
    sealed_content = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    lease_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(
                fields=("next_attempt_at",),
                condition=models.Q(sent_at=None, failed_at=None),
                name="messages_to_send",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_channel_display()}: {self.title}"

    @property
    def place(self) -> str:
        """Where the sealed content stands, authenticated with it."""
        return f"portal_message:{self.pk}:content"


class MailedLink(models.Model):
    """A link sent by e-mail that works once and for a while; only its keyed hash is kept."""

    class Purpose(models.TextChoices):
        PASSWORD = "password", "Reset the password"
        EMAIL = "email", "Confirm an e-mail address"

    digest = models.CharField(max_length=64, unique=True)
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mailed_links")
    email = models.EmailField("e-mail")
    """The address it was sent to; for a new address, the one it confirms."""
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {self.user}"
