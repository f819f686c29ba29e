"""Sign-in at an identity provider: what leads in, and everything that must not."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.checks import run_checks
from django.test import Client

from portal.models import AuditEvent, Membership, Team, User
from portal.services import invitations
from portal.services.audit import Actor
from tests.portal.dashboard.conftest import signed_in
from tests.portal.dashboard.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider

PASSWORD = "correct horse battery"


@pytest.fixture
def provider(settings: Any, db: None) -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        settings.OIDC = running.settings()
        yield running


def leave(browser: Client, path: str = "/login/oidc/", **form: str) -> str:
    """Presses the button; gives the address of the provider that the page leads to."""
    response = browser.post(path, form)
    assert response.status_code == 200, response.content.decode()
    found = re.search(r'url=([^"]+)"', response.content.decode())
    assert found is not None
    return html.unescape(found.group(1))


def come_back(provider: IdentityProvider, browser: Client | None = None, **claims: Any) -> Any:
    browser = browser or Client()
    return browser.get(provider.authorize(leave(browser), **claims))


def is_in(browser: Client) -> bool:
    return browser.get("/account/").status_code == 200


def assert_refused(response: Any, browser: Client | None = None) -> None:
    assert response.status_code in (400, 401, 403, 404, 409, 503)
    assert "not signed in" in response.content.decode()
    assert User.objects.filter(email="ada@example.com", is_superuser=False).count() == 0
    assert SocialAccount.objects.count() == 0
    if browser is not None:
        assert not is_in(browser)


def test_a_new_person_of_an_open_domain_comes_in_and_later_is_the_same_person(provider: IdentityProvider):
    browser = Client()
    response = come_back(provider, browser)
    assert response.status_code == 302
    assert response["Location"] == "/"
    person = User.objects.get()
    assert (person.email, person.first_name, person.role) == ("ada@example.com", "Ada", "")
    assert not person.has_usable_password()
    assert is_in(browser)
    # The address changed at the provider; issuer and subject did not.
    again = Client()
    come_back(provider, again, email="ada.lovelace@example.com")
    assert is_in(again)
    assert User.objects.get().email == "ada@example.com"
    assert SocialToken.objects.count() == 0
    assert SocialApp.objects.count() == 0
    assert AuditEvent.objects.filter(action="person.created", actor="ada@example.com").exists()


def test_the_request_carries_state_nonce_and_challenge_each_time_anew(provider: IdentityProvider):
    browser = Client()
    asked = [parse_qs(urlsplit(leave(browser)).query) for _ in range(2)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({row[name][0] for row in asked}) == 2
    assert set(asked[0]["scope"][0].split()) == {"openid", "profile", "email"}
    assert CLIENT_SECRET not in str(asked)


def test_nothing_in_the_address_changes_what_is_asked_for(provider: IdentityProvider):
    address = leave(
        Client(), "/login/oidc/?auth_params=nonce%3Dmine%26prompt%3Dnone&scope=admin&process=connect"
    )
    asked = parse_qs(urlsplit(address).query)
    assert asked["nonce"] != ["mine"]
    assert "prompt" not in asked
    assert "admin" not in asked["scope"][0]


def test_it_starts_by_a_posted_form_only(provider: IdentityProvider):
    assert Client().get("/login/oidc/").status_code == 405
    assert Client(enforce_csrf_checks=True).post("/login/oidc/").status_code == 403


def test_an_unknown_state_is_refused_and_a_known_one_works_once(provider: IdentityProvider):
    browser = Client()
    back = provider.authorize(leave(browser))
    assert_refused(browser.get(back.replace("state=", "state=x")), browser)
    assert_refused(Client().get(back))
    assert browser.get(back)["Location"] == "/"
    replayed = Client()
    assert replayed.get(back).status_code == 401
    assert not is_in(replayed)


def test_a_callback_nobody_asked_for_is_refused(provider: IdentityProvider):
    assert_refused(Client().get("/login/oidc/callback/?code=abc"))
    assert_refused(Client().get("/login/oidc/callback/?code=abc&state=guessed"))
    assert_refused(Client().get("/login/oidc/callback/?error=server_error&state=guessed"))


def test_the_code_of_another_sign_in_does_not_fit(provider: IdentityProvider):
    """Somebody's stolen code, put into one's own callback: the challenge belongs to another browser."""
    stolen = parse_qs(urlsplit(provider.authorize(leave(Client()))).query)["code"][0]
    browser = Client()
    mine = provider.authorize(leave(browser))
    own = parse_qs(urlsplit(mine).query)["code"][0]
    assert_refused(browser.get(mine.replace(own, stolen)), browser)
    assert provider.refusals


LIES: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "another"},
    "another audience": {"aud": "somebody else"},
    "another issuer": {"iss": "https://evil.example"},
    "several audiences and no authorized party": {"aud": [CLIENT_ID, "other"]},
    "another authorized party": {"aud": [CLIENT_ID, "other"], "azp": "other"},
    "a token that ran out": {"exp": int(time.time()) - 86_400},
    "a token of the future": {"iat": int(time.time()) + 86_400},
    "an empty subject": {"sub": ""},
    "a number as subject": {"sub": 7},
}


@pytest.mark.parametrize("claims", LIES.values(), ids=LIES)
def test_claims_that_are_not_about_this_sign_in_are_refused(
    claims: dict[str, Any], provider: IdentityProvider
):
    browser = Client()
    assert_refused(come_back(provider, browser, **claims), browser)


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "iat", "sub", "nonce"])
def test_a_missing_claim_is_refused(claim: str, provider: IdentityProvider):
    provider.forget_claims = (claim,)
    assert_refused(come_back(provider))


def _unsigned(provider: IdentityProvider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", algorithm="none")


def _by_our_secret(provider: IdentityProvider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, CLIENT_SECRET * 2, algorithm="HS256", headers={"kid": "key-1"})


def _by_the_public_key(provider: IdentityProvider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, provider.public_key()["n"], algorithm="HS256", headers={"kid": "key-1"})


def _by_another_key(provider: IdentityProvider, claims: dict[str, Any]) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "key-1"})


def _by_an_unknown_key(provider: IdentityProvider, claims: dict[str, Any]) -> str:
    return provider.signed(claims, kid="key-2")


def _cut(provider: IdentityProvider, claims: dict[str, Any]) -> str:
    return provider.signed(claims).rpartition(".")[0] + "."


def _nothing(provider: IdentityProvider, claims: dict[str, Any]) -> str:
    return ""


@pytest.mark.parametrize(
    "forged",
    [_unsigned, _by_our_secret, _by_the_public_key, _by_another_key, _by_an_unknown_key, _cut, _nothing],
)
def test_a_token_the_provider_did_not_sign_is_refused(forged: Any, provider: IdentityProvider):
    provider.sign = lambda claims: forged(provider, claims)
    assert_refused(come_back(provider))


@pytest.mark.parametrize("verified", [False, None, "true", 1, "yes"])
def test_an_address_that_is_not_verified_makes_no_account(verified: Any, provider: IdentityProvider):
    assert_refused(come_back(provider, email_verified=verified))


@pytest.mark.parametrize(
    "email", ["", None, "ada@elsewhere.example", "ada@example.com.evil.example", "ada@sub.example.com", "@"]
)
def test_only_people_of_open_domains_come_in_without_an_invitation(email: Any, provider: IdentityProvider):
    assert_refused(come_back(provider, email=email))
    assert User.objects.count() == 0


def test_an_account_with_the_same_address_is_never_linked(provider: IdentityProvider, owner: User):
    browser = Client()
    response = come_back(provider, browser, email=owner.email)
    assert "account with your e-mail address already" in response.content.decode()
    assert_refused(response, browser)


def test_no_domain_is_open_unless_the_operator_names_it(provider: IdentityProvider, settings: Any):
    settings.OIDC = provider.settings(allowed_domains=[])
    assert_refused(come_back(provider))


def test_a_person_who_was_switched_off_stays_out(provider: IdentityProvider):
    come_back(provider)
    User.objects.update(is_active=False)
    browser = Client()
    assert come_back(provider, browser)["Location"] == "/login/inactive/"
    assert "switched off" in browser.get("/login/inactive/").content.decode()
    assert not is_in(browser)


def test_another_issuer_with_the_same_subject_is_somebody_else(provider: IdentityProvider, settings: Any):
    come_back(provider)
    with IdentityProvider() as other:
        settings.OIDC = other.settings()
        browser = Client()
        response = come_back(other, browser)
    assert "already" in response.content.decode()
    assert not is_in(browser)


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None])
def test_a_discovery_document_of_another_issuer_is_not_believed(issuer: Any, provider: IdentityProvider):
    provider.discovery = {"issuer": issuer}
    response = Client().post("/login/oidc/")
    assert response.status_code in (401, 503)
    assert "http-equiv" not in response.content.decode()


def test_addresses_that_are_not_encrypted_are_not_used(provider: IdentityProvider):
    provider.discovery = {"authorization_endpoint": "http://id.example/authorize"}
    assert "http-equiv" not in Client().post("/login/oidc/").content.decode()


def test_an_answer_that_names_another_issuer_is_refused(provider: IdentityProvider):
    browser = Client()
    back = provider.authorize(leave(browser))
    assert_refused(browser.get(f"{back}&iss=https%3A%2F%2Fevil.example"), browser)
    assert browser.get(f"{back}&iss={provider.issuer}")["Location"] == "/"


def test_user_info_counts_only_for_the_person_of_the_token(provider: IdentityProvider):
    provider.forget_claims = ("email", "email_verified")
    provider.userinfo = {"sub": "eve-1", "email": "ada@example.com", "email_verified": True}
    assert_refused(come_back(provider))
    provider.userinfo["sub"] = "ada-1"
    assert come_back(provider)["Location"] == "/"
    assert User.objects.get().email == "ada@example.com"


def test_a_provider_that_is_away_is_said_so(provider: IdentityProvider, settings: Any):
    settings.OIDC = provider.settings(issuer="http://127.0.0.1:1")
    response = Client().post("/login/oidc/")
    assert response.status_code == 503
    assert "cannot be reached" in response.content.decode()


def test_the_client_secret_follows_no_redirect(provider: IdentityProvider):
    with IdentityProvider() as other:
        provider.token_moved_to = f"{other.issuer}/token"
        assert_refused(come_back(provider))
        assert other.refusals == []


def test_breaking_off_there_leads_back_to_sign_in(provider: IdentityProvider):
    browser = Client()
    state = parse_qs(urlsplit(leave(browser)).query)["state"][0]
    response = browser.get(f"/login/oidc/callback/?error=access_denied&state={state}", follow=True)
    assert "broke off" in response.content.decode()


def test_it_leads_on_to_our_pages_only(provider: IdentityProvider):
    browser = Client()
    back = provider.authorize(leave(browser, next="https://evil.example/"))
    assert browser.get(back)["Location"] == "/"
    again = Client()
    back = provider.authorize(leave(again, next="/files/?q=x"))
    assert again.get(back)["Location"] == "/files/?q=x"


def test_the_session_is_another_one_after_signing_in(provider: IdentityProvider):
    browser = Client()
    back = provider.authorize(leave(browser))
    before = browser.cookies["portico_session"].value
    browser.get(back)
    assert browser.cookies["portico_session"].value != before


def test_new_people_join_the_team_that_the_operator_names(
    provider: IdentityProvider, team: Team, settings: Any
):
    settings.OIDC = provider.settings(team="Blue")
    come_back(provider)
    assert Membership.objects.get().team == team
    assert Membership.objects.get().role == "member"


def test_an_invitation_lets_in_from_any_domain_with_its_role_and_team(
    provider: IdentityProvider, team: Team, actor: Actor
):
    _, token = invitations.create_invitation(actor=actor, role="auditor", team=team, team_role="viewer")
    browser = Client()
    assert "Continue with Example ID" in browser.get(f"/join/{token}/").content.decode()
    back = provider.authorize(leave(browser, invitation=token), email="eva@elsewhere.example", sub="eva")
    assert browser.get(back)["Location"] == "/"
    person = User.objects.get(email="eva@elsewhere.example")
    assert (person.role, Membership.objects.get(user=person).role) == ("auditor", "viewer")
    other = Client()
    back = provider.authorize(leave(other, invitation=token), email="max@elsewhere.example", sub="max")
    assert "no longer valid" in other.get(back).content.decode()


def test_an_invitation_for_one_address_is_not_for_another(provider: IdentityProvider, actor: Actor):
    _, token = invitations.create_invitation(actor=actor, email="eva@elsewhere.example")
    browser = Client()
    back = provider.authorize(leave(browser, invitation=token))
    assert_refused(browser.get(back), browser)
    assert invitations.find(token)


def confirm(browser: Client) -> None:
    browser.post("/account/confirm/?next=/account/", {"password": PASSWORD})


def test_people_connect_their_account_themselves_after_confirming(provider: IdentityProvider, owner: User):
    browser = signed_in(owner)
    assert browser.post("/account/connect/")["Location"].startswith("/account/confirm/")
    confirm(browser)
    back = provider.authorize(leave(browser, "/account/connect/"), email="other@elsewhere.example")
    assert browser.get(back)["Location"] == "/account/"
    assert SocialAccount.objects.get().user == owner
    assert AuditEvent.objects.filter(action="person.identity_connected", user=owner).exists()
    again = Client()
    come_back(provider, again)
    assert "owner@example.com" in again.get("/account/").content.decode()


def test_an_identity_of_somebody_else_cannot_be_connected(provider: IdentityProvider, owner: User):
    come_back(provider)
    browser = signed_in(owner)
    confirm(browser)
    browser.get(provider.authorize(leave(browser, "/account/connect/")))
    assert SocialAccount.objects.get().user != owner


def test_the_last_way_in_cannot_be_disconnected(provider: IdentityProvider, owner: User):
    browser = Client()
    come_back(provider, browser)
    identity = SocialAccount.objects.get()
    browser.post(f"/account/connections/{identity.pk}/remove/")
    assert "Set a password first" in browser.get("/account/").content.decode()
    rival = signed_in(owner)
    confirm(rival)
    rival.post(f"/account/connections/{identity.pk}/remove/")
    assert SocialAccount.objects.exists()
    browser.post("/account/password/", {"password": "seven paper boats drift"})
    confirm_with = {"password": "seven paper boats drift"}
    browser.post("/account/confirm/?next=/account/", confirm_with)
    browser.post(f"/account/connections/{identity.pk}/remove/")
    assert not SocialAccount.objects.exists()


def test_without_a_provider_there_is_no_such_door(db: None):
    assert "Continue with" not in Client().get("/login/").content.decode()
    assert Client().post("/login/oidc/").status_code == 404
    assert Client().get("/login/oidc/callback/?code=1&state=2").status_code == 404


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"issuer": "http://id.example"}, "portal.E006"),
        ({"issuer": "id.example"}, "portal.E006"),
        ({"client_id": ""}, "portal.E007"),
    ],
)
def test_the_product_does_not_start_with_a_provider_it_could_not_trust(
    changes: dict[str, str], problem: str, settings: Any
):
    settings.OIDC = {**settings.OIDC, "issuer": "https://id.example", "client_id": "x"} | changes
    assert problem in [found.id for found in run_checks()]
