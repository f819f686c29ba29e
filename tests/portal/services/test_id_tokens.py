"""ID tokens: which keys and methods count. The lies a provider may tell are in the tests of signing in."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from portal.services import id_tokens
from portal.services.id_tokens import BadToken

ISSUER, CLIENT, NONCE = "https://id.example", "portico", "n-1"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {"iss": ISSUER, "aud": CLIENT, "sub": "ada", "iat": now, "exp": now + 60, "nonce": NONCE}
    return made | changes


def public(key: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    maker: Any = jwt.get_algorithm_by_name(algorithm)
    made: dict[str, Any] = json.loads(maker.to_jwk(key.public_key()))
    return made | more


def read(token: str, *keys: dict[str, Any], nonce: str = NONCE) -> dict[str, Any]:
    return id_tokens.read(token, {"keys": list(keys)}, issuer=ISSUER, client_id=CLIENT, nonce=nonce)


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA_KEY, "RS256"), (RSA_KEY, "PS384"), (EC_KEY, "ES256"), (ED_KEY, "EdDSA")]
)
def test_every_method_with_a_private_key_is_read(key: Any, algorithm: str):
    token = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": "a"})
    assert read(token, public(key, algorithm, kid="a"), public(EC_KEY, "ES256", kid="b"))["sub"] == "ada"


def test_a_token_that_names_no_key_needs_exactly_one_that_fits():
    token = jwt.encode(claims(), RSA_KEY, algorithm="RS256")
    mine = public(RSA_KEY, "RS256", kid="a")
    assert read(token, mine, public(EC_KEY, "ES256", kid="b"))["sub"] == "ada"
    with pytest.raises(BadToken):
        read(token, mine, mine | {"kid": "c"})
    with pytest.raises(BadToken):
        read(token)


@pytest.mark.parametrize("changed", [{"use": "enc"}, {"alg": "RS512"}, {"kid": "other"}, {"kty": "EC"}])
def test_a_key_for_something_else_does_not_count(changed: dict[str, str]):
    token = jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"kid": "a"})
    with pytest.raises(BadToken):
        read(token, public(RSA_KEY, "RS256", kid="a") | changed)


def test_a_secret_published_as_a_key_signs_nothing():
    token = jwt.encode(claims(), "s" * 32, algorithm="HS256", headers={"kid": "a"})
    with pytest.raises(BadToken):
        read(token, {"kty": "oct", "k": "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M", "kid": "a"})


def test_an_empty_nonce_matches_nothing():
    token = jwt.encode(claims(nonce=""), RSA_KEY, algorithm="RS256")
    with pytest.raises(BadToken):
        read(token, public(RSA_KEY, "RS256"), nonce="")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.", "\u0000", "é.é.é"])
def test_what_is_no_token_at_all_is_refused(token: str):
    with pytest.raises(BadToken):
        read(token, public(RSA_KEY, "RS256"))


@pytest.mark.parametrize("keys", [{}, {"keys": None}, {"keys": ["x", None, {}]}, {"keys": {"a": 1}}])
def test_key_sets_that_make_no_sense_are_refused(keys: dict[str, Any]):
    token = jwt.encode(claims(), RSA_KEY, algorithm="RS256")
    with pytest.raises(BadToken):
        id_tokens.read(token, keys, issuer=ISSUER, client_id=CLIENT, nonce=NONCE)
