"""Sign-in at the identity provider: authorization code with state, nonce and PKCE; the token is verified.

https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
"""

from __future__ import annotations

import logging
import secrets
from typing import Any
from urllib.parse import urlsplit

from allauth.account.decorators import reauthentication_required
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialLogin, SocialToken
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from requests import RequestException

from portal.services import id_tokens, single_sign_on
from portal.services.single_sign_on import Identity
from providers.errors import Forbidden, PorticoError, Unavailable

logger = logging.getLogger(__name__)

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Distrusted(OAuth2Error):  # type: ignore[misc]  # untyped library
    """The provider said something that must not be believed. The text is for the log."""


class OpenIdAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # untyped library
    """The library's, with every answer of the provider checked against what the operator configured."""

    nonce = ""

    @property
    def openid_config(self) -> dict[str, Any]:
        """The provider's own description. Raises Distrusted when it is not the configured issuer's."""
        if not hasattr(self, "_checked"):
            config: dict[str, Any] = super().openid_config
            known = single_sign_on.provider()
            assert known is not None
            if str(config.get("issuer", "")).rstrip("/") != known.issuer.rstrip("/"):
                raise Distrusted("the discovery document names another issuer")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                _check_address(config.get(name))
            self._checked = config
        return self._checked

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return request.build_absolute_uri(reverse("oidc-callback"))

    def complete_login(
        self, request: HttpRequest, app: Any, token: SocialToken, **kwargs: Any
    ) -> SocialLogin:
        config = self.openid_config
        claims = id_tokens.read(
            str(kwargs["response"].get("id_token") or ""),
            self._fetch(config["jwks_uri"]),
            issuer=config["issuer"],
            client_id=app.client_id,
            nonce=self.nonce,
        )
        if "email" not in claims and config.get("userinfo_endpoint"):
            _check_address(config["userinfo_endpoint"])
            told = self._fetch(config["userinfo_endpoint"], bearer=token.token)
            if told.get("sub") != claims["sub"]:
                raise Distrusted("the user info is about somebody else")
            claims = {**told, **claims}
        return self.get_provider().sociallogin_from_response(request, claims)

    def _fetch(self, url: str, bearer: str = "") -> dict[str, Any]:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        with get_adapter().get_requests_session() as session:
            response = session.get(url, headers=headers, allow_redirects=False)
            response.raise_for_status()
            found = response.json()
        if not isinstance(found, dict):
            raise Distrusted("the provider's answer is not an object")
        return found


class OpenIdProvider(OpenIDConnectProvider):  # type: ignore[misc]  # untyped library
    oauth2_adapter_class = OpenIdAdapter
    pkce_enabled_default = True

    def redirect(
        self, request: HttpRequest, process: str, next_url: str | None = None, data: Any = None, **kwargs: Any
    ) -> HttpResponse:
        """Parameters from the address of the request are left out: they could change what is asked for."""
        nonce = secrets.token_urlsafe(32)
        kept = {"nonce": nonce, "invitation": kwargs.get("invitation", "")}
        answer: HttpResponse = super().redirect(
            request, process, next_url, data, auth_params={"nonce": nonce}, scope=self.get_scope(), **kept
        )
        return answer

    def extract_uid(self, data: dict[str, Any]) -> str:
        return Identity.of(data).key

    def extract_email_addresses(self, data: dict[str, Any]) -> list[Any]:
        """None: an address never finds an account here."""
        return []

    def extract_common_fields(self, data: dict[str, Any]) -> dict[str, Any]:
        return {}

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """For the eyes of people; what is decided upon is the uid."""
        return {name: data[name] for name in ("iss", "sub", "email", "name") if name in data}

    def sociallogin_from_response(self, request: HttpRequest, response: dict[str, Any]) -> SocialLogin:
        login = super().sociallogin_from_response(request, response)
        login.identity = Identity.of(response)
        return login


class Callback(OAuth2CallbackView):  # type: ignore[misc]  # untyped library
    """Where the provider sends people back to."""

    def _get_state(self, request: HttpRequest, provider: Any) -> tuple[dict[str, Any] | None, Any]:
        state, response = super()._get_state(request, provider)
        if state is not None:
            self.adapter.nonce = state.get("nonce", "")
        return state, response


@require_POST
@never_cache
def start(request: HttpRequest) -> HttpResponse:
    """Leads to the identity provider, to sign in or to accept an invitation."""
    target = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()})
    invitation = request.POST.get("invitation", "")
    return _leave(request, AuthProcess.LOGIN, next_url=target if is_ours else None, invitation=invitation)


@require_POST
@never_cache
@reauthentication_required(app="allauth.socialaccount")  # type: ignore[untyped-decorator]  # untyped library
def connect(request: HttpRequest) -> HttpResponse:
    """Leads to the identity provider to connect the account of the person who is signed in."""
    return _leave(request, AuthProcess.CONNECT, next_url=reverse("account"))


@require_GET
@never_cache
def callback(request: HttpRequest) -> HttpResponse:
    adapter = OpenIdAdapter(request, "oidc")
    known = _known()
    said = request.GET.get("iss")
    if said is not None and said.rstrip("/") != known.issuer.rstrip("/"):
        return refused(request, Forbidden("The answer came from another identity provider."))
    try:
        answer: HttpResponse = Callback.adapter_view(adapter)(request)
    except PorticoError as error:
        logger.warning("sign-in at the identity provider was refused: %s", error.message)
        return refused(request, error)
    except (KeyError, TypeError, ValueError):
        return refused(request, _unusable(known.name))
    return answer


def _leave(request: HttpRequest, process: str, *, next_url: str | None, invitation: str = "") -> HttpResponse:
    """A page that goes on by itself: the content policy lets forms lead to our own pages only."""
    known = _known()
    provider = get_adapter(request).get_provider(request, "oidc")
    try:
        answer = provider.redirect(request, process, next_url=next_url, invitation=invitation)
    except (OAuth2Error, RequestException, KeyError, TypeError, ValueError) as error:
        log_failure(error)
        return refused(request, _unusable(known.name))
    if "Location" not in answer:
        return refused(request, _unusable(known.name))
    return render(request, "socialaccount/leave.html", {"name": known.name, "address": answer["Location"]})


def refused(request: HttpRequest, error: PorticoError) -> HttpResponse:
    """The page that says why the identity provider did not lead in."""
    return render(request, "socialaccount/refused.html", {"error": error}, status=error.status)


def log_failure(error: Exception | None) -> None:
    """The library's own texts hold what the provider answered, so only ours are written down."""
    reason = str(error) if isinstance(error, Distrusted) else type(error).__name__
    logger.warning("sign-in at the identity provider failed: %s", reason)


def _known() -> single_sign_on.Provider:
    known = single_sign_on.provider()
    if known is None:
        raise Http404
    return known


def _unusable(name: str) -> Unavailable:
    return Unavailable(f"{name} cannot be reached or gave an answer that makes no sense. Try again later.")


def _check_address(url: Any) -> None:
    """Only encrypted addresses, except on this machine. Raises Distrusted."""
    parts = urlsplit(url if isinstance(url, str) else "")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise Distrusted("the provider names an address that is not encrypted")
