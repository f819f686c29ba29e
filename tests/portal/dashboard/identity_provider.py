"""A strict OpenID provider on loopback that can be told to lie in its tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID = "portico-tests"
CLIENT_SECRET = "a secret of two parties"
KEY_ID = "key-1"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
"""Made once: it takes a tenth of a second."""


class IdentityProvider:
    """`authorize` stands for the person's visit; what follows happens over HTTP."""

    def __init__(self) -> None:
        self.key = KEY
        self.claims: dict[str, Any] = {}
        self.forget_claims: tuple[str, ...] = ()
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.discovery: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.token_moved_to = ""
        self.asked: list[dict[str, str]] = []
        self.refusals: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._get(self)

            def do_POST(self) -> None:
                provider._token(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The product's setting OIDC for this provider."""
        return {
            "issuer": self.issuer,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "name": "Example ID",
            "allowed_domains": ["example.com"],
            "team": "",
        } | changes

    def authorize(self, address: str, **claims: Any) -> str:
        """The person signs in at `address`; gives the path and query they come back with."""
        parts = urlsplit(address)
        asked = dict(parse_qsl(parts.query))
        assert f"{parts.scheme}://{parts.netloc}" == self.issuer
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        self.asked.append(asked)
        self.claims = {
            "sub": "ada-1",
            "email": "ada@example.com",
            "email_verified": True,
            "name": "Ada",
        } | claims
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        back = urlsplit(asked["redirect_uri"])
        return f"{back.path}?{urlencode({'code': code, 'state': asked['state']})}"

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": KEY_ID} | header)

    def public_key(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return made | {"kid": KEY_ID, "use": "sig", "alg": "RS256"}

    def _get(self, handler: BaseHTTPRequestHandler) -> None:
        match handler.path:
            case "/.well-known/openid-configuration":
                found = {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "userinfo_endpoint": f"{self.issuer}/userinfo",
                    "jwks_uri": f"{self.issuer}/jwks",
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                }
                _answer(handler, found | self.discovery)
            case "/jwks":
                _answer(handler, {"keys": [self.public_key()]})
            case "/userinfo":
                _answer(handler, self.userinfo)
            case _:
                handler.send_error(404)

    def _token(self, handler: BaseHTTPRequestHandler) -> None:
        if self.token_moved_to:
            handler.send_response(307)
            handler.send_header("location", self.token_moved_to)
            handler.send_header("content-length", "0")
            handler.end_headers()
            return
        body = handler.rfile.read(int(handler.headers["content-length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        fits = asked is not None and (
            form.get("client_id"),
            form.get("client_secret"),
            form.get("redirect_uri"),
            challenge.rstrip(b"=").decode(),
        ) == (CLIENT_ID, CLIENT_SECRET, asked["redirect_uri"], asked["code_challenge"])
        if asked is None or not fits:
            self.refusals.append("token request does not fit")
            _answer(handler, {"error": "invalid_grant"}, status=400)
            return
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked.get("nonce"),
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if name not in self.forget_claims}
        _answer(handler, {"access_token": "at", "token_type": "Bearer", "id_token": self.sign(claims)})


def _answer(handler: BaseHTTPRequestHandler, body: dict[str, Any], status: int = 200) -> None:
    written = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(written)))
    handler.end_headers()
    handler.wfile.write(written)
