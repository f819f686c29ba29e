"""Google's token endpoints: signed assertions, refresh tokens, workload identity, impersonation.

https://developers.google.com/identity/protocols/oauth2/service-account
https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.fakes.control import read_body
from tests.fakes.gemini import errors
from tests.fakes.vertex.state import VertexFake, fake_of, signing_key

ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
EMAIL = re.compile(r"portico@([a-z0-9-]+)\.iam\.gserviceaccount\.com")
SCOPES = frozenset(
    {
        "https://www.googleapis.com/auth/cloud-platform",
        "https://www.googleapis.com/auth/devstorage.read_write",
        "https://www.googleapis.com/auth/devstorage.full_control",
    }
)
REFRESH = re.compile(r"1//fake-([a-z0-9]+)-.+")
SUBJECT = re.compile(r"subject-([a-z0-9]+)-.+")
LONGEST_LIFE = 3600


class OAuthError(Exception):
    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status, self.body = status, {"error": error, "error_description": description}


async def token(request: web.Request) -> web.Response:
    """POST /token: a service account's assertion, or a person's refresh token."""
    fake, form = fake_of(request), await _form(request)
    try:
        project = _project(fake, form, f"{request.scheme}://{request.host}{request.path}")
    except OAuthError as error:
        return web.json_response(error.body, status=error.status)
    return web.json_response(fake.grant(project))


def _project(fake: VertexFake, form: dict[str, str], here: str) -> str:
    if form.get("grant_type") == ASSERTION:
        return _asserted(fake, form.get("assertion", ""), here)
    if form.get("grant_type") != "refresh_token":
        raise OAuthError(400, "unsupported_grant_type", "Invalid grant_type.")
    found = REFRESH.fullmatch(form.get("refresh_token", ""))
    if not found or not form.get("client_id") or not form.get("client_secret"):
        raise OAuthError(400, "invalid_grant", "Bad Request")
    return found[1]


async def exchange(request: web.Request) -> web.Response:
    """POST /v1/token, the security token service: somebody else's token for one of Google's."""
    fake, form = fake_of(request), await _form(request)
    found = SUBJECT.fullmatch(form.get("subject_token", ""))
    if form.get("grant_type") != EXCHANGE or not form.get("audience") or not form.get("scope"):
        error = {"error": "invalid_request", "error_description": "A parameter is missing."}
        return web.json_response(error, status=400)
    if not found:
        error = {"error": "invalid_grant", "error_description": "The subject token is not valid."}
        return web.json_response(error, status=400)
    kind = "urn:ietf:params:oauth:token-type:access_token"
    return web.json_response({**fake.grant(found[1]), "issued_token_type": kind})


async def impersonate(request: web.Request) -> web.Response:
    """POST …/serviceAccounts/{email}:generateAccessToken."""
    fake = fake_of(request)
    fake.require_token(request)
    found = EMAIL.fullmatch(request.match_info["email"])
    if not found:
        raise errors.GeminiError(404, "Not found; Gaia id not found for email.")
    granted = fake.grant(found[1])
    ends = datetime.fromtimestamp(fake.clock.now() + granted["expires_in"], UTC)
    answer = {
        "accessToken": granted["access_token"],
        "expireTime": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return web.json_response(answer)


async def service_account(request: web.Request) -> web.Response:
    """Part of the control API: the JSON key of a project's service account."""
    base = f"{request.scheme}://{request.host}"
    return web.json_response(fake_of(request).service_account(request.query["project"], base))


async def _form(request: web.Request) -> dict[str, str]:
    await read_body(request)
    return {name: str(value) for name, value in (await request.post()).items()}


def _asserted(fake: VertexFake, assertion: str, here: str) -> str:
    """The project whose service account signed the assertion. Refuses as Google does."""
    try:
        head, claims, signature = (_decoded(part) for part in assertion.split("."))
        header, body = json.loads(head), json.loads(claims)
    except (ValueError, binascii.Error):
        raise OAuthError(400, "invalid_grant", "Invalid JWT: malformed.") from None
    key = signing_key()
    if header.get("alg") != "RS256" or header.get("kid") != key.key_id:
        raise OAuthError(400, "invalid_grant", "Invalid JWT Signature.")
    signed = assertion.rpartition(".")[0].encode()
    try:
        key.private.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise OAuthError(400, "invalid_grant", "Invalid JWT Signature.") from None
    return _claimed(fake, body, here)


def _claimed(fake: VertexFake, body: dict[str, Any], here: str) -> str:
    now, skew = fake.clock.now(), float(fake.settings["skew_seconds"])
    found = EMAIL.fullmatch(str(body.get("iss")))
    if not found:
        raise OAuthError(400, "invalid_grant", "Invalid grant: account not found")
    # Google's own library names the public endpoint whatever its token_uri says.
    if body.get("aud") not in (here, "https://oauth2.googleapis.com/token"):
        raise OAuthError(400, "invalid_grant", "Invalid JWT: Failed audience check.")
    issued, expires = body.get("iat"), body.get("exp")
    if not isinstance(issued, int) or not isinstance(expires, int) or expires - issued > LONGEST_LIFE:
        raise OAuthError(400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes).")
    if issued > now + skew or expires < now - skew:
        raise OAuthError(
            400, "invalid_grant", "Invalid JWT: Token must be in a reasonable timeframe. Check your iat."
        )
    if not SCOPES.intersection(str(body.get("scope", "")).split()):
        raise OAuthError(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    return found[1]


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
