"""Ways to sign in, in a real browser: second step, passkey, identity provider, invitation."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Literal

import httpx
import pytest
from allauth.mfa.totp.internal import auth as totp
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import NARROW, PATIENCE_MS, WIDE, Visit
from tests.product import Product

PASSWORD = "seven paper boats drift"
OWNER = "grace@example.com"
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
PAGES = {"account": "/account/", "password": "/account/password/", "confirm": "/account/confirm/"}


@pytest.fixture(scope="module")
def identity_provider() -> Iterator[str]:
    """PyPI's oidc-provider-mock; people in it are made by the tests."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://localhost:{port}"
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{url}/.well-known/openid-configuration")
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline, "the identity provider did not start"
                time.sleep(0.05)
        yield url
        process.terminate()


@pytest.fixture(scope="module")
def house(identity_provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product of its own, under a host name: passkeys do not work at an address of numbers."""
    environment = {
        "PORTICO_OIDC_ISSUER": identity_provider,
        "PORTICO_OIDC_CLIENT_ID": "portico",
        "PORTICO_OIDC_CLIENT_SECRET": "a secret of two parties",
        "PORTICO_OIDC_NAME": "Example ID",
        "PORTICO_OIDC_ALLOWED_DOMAINS": "example.com",
        "PORTICO_OIDC_TEAM": "Default",
    }
    with Product(tmp_path_factory.mktemp("ways"), environment=environment) as running:
        running.url = running.url.replace("127.0.0.1", "localhost")
        yield running


@pytest.fixture(scope="module")
def grace(browser: Browser, house: Product) -> Iterator[BrowserContext]:
    """The owner's browser."""
    assert house.setup_url is not None
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")
    page = context.new_page()
    page.goto(house.setup_url.replace("127.0.0.1", "localhost"))
    page.get_by_label("E-mail").fill(OWNER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make account").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.close()
    yield context
    context.close()


@pytest.fixture
def tab(grace: BrowserContext, house: Product) -> Iterator[Visit]:
    opened = Visit(grace.new_page(), house.url)
    yield opened
    opened.page.close()
    assert opened.complaints == []


@pytest.fixture
def stranger(browser: Browser, house: Product) -> Iterator[Visit]:
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")
    opened = Visit(context.new_page(), house.url)
    yield opened
    context.close()
    assert opened.complaints == []


def confirm(page: Page) -> None:
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def sign_in(visit: Visit) -> Page:
    page = visit.go("/login/")
    page.get_by_label("E-mail").fill(OWNER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    return page


def code(secret: str) -> str:
    return str(totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30)))


@pytest.mark.parametrize("name", PAGES)
def test_every_page_of_the_account_fits_and_is_accessible(name: str, tab: Visit):
    tab.go(PAGES[name])
    tab.page.wait_for_load_state("networkidle")
    assert tab.page.locator("h1").count() == 1
    tab.check_looks(f"ways-{name}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_for_signing_in_offers_every_way(scheme: Literal["light", "dark"], stranger: Visit):
    stranger.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page = stranger.go("/login/")
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_visible()
    expect(page.get_by_role("button", name="Continue with Example ID")).to_be_visible()
    stranger.shoot(f"ways-login-{scheme}")
    assert stranger.violations() == []
    page.set_viewport_size(NARROW)
    assert stranger.overflow() == 0


def test_a_passkey_is_added_and_then_signs_in_alone(tab: Visit, browser: Browser, house: Product):
    page = tab.page
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    device = devices.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})["authenticatorId"]
    tab.go("/account/")
    page.get_by_role("link", name="Add a passkey").click()
    expect(page.get_by_role("button", name=re.compile("Confirm|Add passkey"))).to_be_visible()
    if page.get_by_role("button", name="Confirm").is_visible():
        confirm(page)
    expect(page.get_by_role("heading", name="Add a passkey")).to_be_visible()
    tab.shoot("ways-passkey-add")
    assert tab.violations() == []
    page.get_by_label("Name").fill("test device")
    page.get_by_role("button", name="Add passkey").click()
    expect(page.get_by_text("Passkey added")).to_be_visible()
    tab.shoot("ways-recovery-codes")
    assert tab.violations() == []
    tab.go("/account/")
    expect(page.get_by_text("test device", exact=True).first).to_be_visible()
    [credential] = devices.send("WebAuthn.getCredentials", {"authenticatorId": device})["credentials"]

    context = browser.new_context(viewport=WIDE)
    other = Visit(context.new_page(), house.url)
    elsewhere = context.new_cdp_session(other.page)
    elsewhere.send("WebAuthn.enable")
    made = elsewhere.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})["authenticatorId"]
    other.go("/login/").get_by_role("button", name="Sign in with a passkey").click()
    expect(other.page.get_by_text("Nothing was confirmed")).to_be_visible(timeout=PATIENCE_MS * 5)
    elsewhere.send("WebAuthn.addCredential", {"authenticatorId": made, "credential": credential})
    other.page.get_by_role("button", name="Sign in with a passkey").click()
    expect(other.page.get_by_role("heading", name="Overview")).to_be_visible()
    assert other.complaints == []
    context.close()


def test_the_app_is_set_up_and_its_code_asked_for(tab: Visit, stranger: Visit):
    page = tab.go("/account/")
    page.get_by_role("link", name="Set up an authenticator app").click()
    # Who confirmed it a minute ago is not asked again.
    expect(
        page.get_by_role("button", name="Confirm").or_(page.get_by_role("img", name="QR code"))
    ).to_be_visible()
    if page.get_by_role("button", name="Confirm").is_visible():
        confirm(page)
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    tab.shoot("ways-authenticator")
    assert tab.violations() == []
    secret = page.locator("#secret").inner_text()
    page.get_by_label("Code that the app shows").fill(code(secret))
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_text("Authenticator app activated")).to_be_visible()

    sign_in(stranger)
    expect(stranger.page.get_by_role("heading", name="Second step")).to_be_visible()
    stranger.shoot("ways-second-step")
    assert stranger.violations() == []
    stranger.page.get_by_label("Code").fill(code(secret))
    stranger.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(stranger.page.get_by_role("heading", name="Overview")).to_be_visible()

    tab.go("/account/")
    expect(page.get_by_role("button", name="Turn off the authenticator app")).to_be_visible()
    tab.shoot("ways-account-full")
    page.get_by_role("button", name="Sign out everywhere else").click()
    expect(page.get_by_role("button", name="Sign out everywhere else")).to_have_count(0)
    stranger.go("/account/")
    expect(stranger.page.get_by_role("heading", name="Sign in")).to_be_visible()

    page.get_by_role("button", name="Turn off the authenticator app").click()
    page.get_by_role("button", name="Turn off", exact=True).last.click()
    expect(page.get_by_role("link", name="Set up an authenticator app")).to_be_visible()


def test_somebody_new_comes_through_the_identity_provider(identity_provider: str, stranger: Visit):
    person = {"email": "ada@example.com", "email_verified": True, "name": "Ada Lovelace"}
    httpx.put(f"{identity_provider}/users/ada", json=person).raise_for_status()
    page = stranger.go("/login/")
    page.get_by_role("button", name="Continue with Example ID").click()
    page.get_by_placeholder("sub").fill("ada")
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    stranger.go("/account/")
    expect(page.get_by_text("ada@example.com").first).to_be_visible()
    stranger.complaints.clear()  # What the provider's own page complains of is not ours.


def test_somebody_with_an_unverified_address_does_not(identity_provider: str, stranger: Visit):
    person = {"email": OWNER, "email_verified": False}
    httpx.put(f"{identity_provider}/users/eve", json=person).raise_for_status()
    page = stranger.go("/login/")
    page.get_by_role("button", name="Continue with Example ID").click()
    page.get_by_placeholder("sub").fill("eve")
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_text("does not confirm your e-mail address")).to_be_visible()
    stranger.shoot("ways-refused")
    stranger.complaints.clear()  # As above, and Chromium reports a 403 as an error of the page.


def test_an_invited_person_makes_their_account(tab: Visit, stranger: Visit):
    page = tab.go("/people/new/")
    page.get_by_label("E-mail").fill("max@elsewhere.example")
    page.get_by_role("button", name="Make link").click()
    link = page.locator("#secret").inner_text()
    stranger.page.goto(link)
    stranger.shoot("ways-join")
    assert stranger.violations() == []
    expect(stranger.page.get_by_label("E-mail")).to_have_value("max@elsewhere.example")
    stranger.page.get_by_label("Your name").fill("Max")
    stranger.page.get_by_label("Password").fill(PASSWORD)
    stranger.page.get_by_role("button", name="Make account").click()
    stranger.go("/account/")
    expect(stranger.page.get_by_text("max@elsewhere.example")).to_be_visible()
    stranger.complaints.clear()  # Chromium reports the 403 of somebody without a team as an error.
