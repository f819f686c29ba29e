"""Where django-allauth asks the product: its adapters. What they do not answer is as the library has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from portal.dashboard import attempts
from portal.dashboard.context import instance_name
from portal.dashboard.single_sign_on import OpenIdProvider, log_failure, refused
from portal.models import User
from portal.services import single_sign_on
from portal.services.secrets import FACTOR_PLACE
from providers.errors import PorticoError

if TYPE_CHECKING:
    from allauth.socialaccount.models import SocialLogin

QUIET = frozenset(
    {
        "account/messages/logged_in.txt",
        "account/messages/logged_out.txt",
        "mfa/messages/recovery_codes_generated.txt",
    }
)
"""What the next page shows by itself."""


class AccountHooks(DefaultAccountAdapter):  # type: ignore[misc]  # untyped library
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """People come by set-up link, invitation or identity provider."""
        return False

    def reauthenticate(self, user: AbstractBaseUser, password: str) -> bool:
        assert isinstance(user, User)
        request = context.request
        if attempts.are_exhausted(request, user.email):
            raise self.validation_error("too_many_login_attempts")
        if user.check_password(password):
            attempts.forget(request, user.email)
            return True
        attempts.count(request, user.email)
        return False

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *rest: Any, **named: Any
    ) -> None:
        if message_template not in QUIET:
            super().add_message(request, level, message_template, *rest, **named)

    def get_client_ip(self, request: HttpRequest) -> str:
        return str(request.META.get("REMOTE_ADDR") or "unknown")

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """The audit trail has these events."""


class FactorHooks(DefaultMFAAdapter):  # type: ignore[misc]  # untyped library
    def encrypt(self, text: str) -> str:
        return str(settings.ENCRYPTION_KEYS.seal(text, FACTOR_PLACE))

    def decrypt(self, encrypted_text: str) -> str:
        return str(settings.ENCRYPTION_KEYS.open(encrypted_text, FACTOR_PLACE))

    def _get_site_name(self) -> str:
        return instance_name()

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Any) -> str:  # noqa: A002 - the library's
        return "Passkey"


class SocialHooks(DefaultSocialAccountAdapter):  # type: ignore[misc]  # untyped library
    """One provider, from the environment; nothing of it lies in the database."""

    def list_apps(
        self, request: HttpRequest, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        known = single_sign_on.provider()
        if known is None or client_id not in (None, known.client_id):
            return []
        app = SocialApp(
            provider="openid_connect",
            provider_id="oidc",
            name=known.name,
            client_id=known.client_id,
            secret=known.client_secret,
            settings={"server_url": known.issuer.rstrip("/"), "oauth_pkce_enabled": True},
        )
        return [app]

    def get_provider(self, request: HttpRequest, provider: str, client_id: str | None = None) -> Any:
        return OpenIdProvider(request, app=self.get_app(request, provider, client_id))

    def list_providers(self, request: HttpRequest) -> list[Any]:
        return [self.get_provider(request, "oidc")] if single_sign_on.provider() else []

    def get_requests_session(self) -> requests.Session:
        """A redirect could carry the client secret to somebody else, so none is followed."""
        session: requests.Session = super().get_requests_session()
        session.max_redirects = 0
        return session

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, exception: Exception | None = None, **kwargs: Any
    ) -> None:
        if exception is not None:
            log_failure(exception)

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Whether this person may come in is decided where the account is made."""
        return True

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Makes the account and binds it to issuer and subject."""
        invitation = sociallogin.state.get("invitation", "")
        try:
            with transaction.atomic():
                person = single_sign_on.admit(sociallogin.identity, invitation_token=invitation)
                sociallogin.user = person
                sociallogin.account.user = person
                sociallogin.account.save()
        except PorticoError as error:
            raise ImmediateHttpResponse(refused(request, error)) from error
        return person

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("account")
