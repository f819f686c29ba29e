"""Registers the project with Django."""

from __future__ import annotations

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from portal import checks  # noqa: F401 - registers the system checks
        from portal.services.signatures import shared
        from providers.gemini.signatures import use_store

        use_store(shared)
        # Read now: Celery loads its configuration at the first use, and two threads that come first together
        # break it.
        from portal.celery import app

        assert app.conf.broker_url
        from portal.dashboard import sign_in_trail

        sign_in_trail.start()
