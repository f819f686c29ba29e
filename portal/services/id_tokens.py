"""Reads ID tokens of an OpenID provider and believes only what is proven.

https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from jwt import PyJWK

from providers.errors import Unauthenticated

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Signatures by a key that only the provider has: not `none`, nor HS…, which our own secret could make."""
KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""Beginning of the method → the kind of key that goes with it."""
LEEWAY_SECONDS = 60
REQUIRED = ("iss", "sub", "aud", "exp", "iat")


class BadToken(Unauthenticated):
    code = "invalid_id_token"


def read(token: str, keys: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str) -> dict[str, Any]:
    """The claims of a token that this issuer signed for us and for this sign-in. Raises BadToken.

    `keys` is the provider's JWK set.
    """
    try:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg", "")
        if algorithm not in ALGORITHMS:
            raise BadToken("The identity provider signed with a method that is not accepted.")
        claims: dict[str, Any] = jwt.decode(
            token,
            key=_key(keys, header.get("kid"), algorithm),
            algorithms=[algorithm],
            issuer=issuer,
            audience=client_id,
            leeway=LEEWAY_SECONDS,
            options={"require": list(REQUIRED)},
        )
    except jwt.PyJWTError as error:
        raise BadToken("The identity provider's answer could not be verified.") from error
    audiences = claims["aud"]
    if (isinstance(audiences, list) and len(audiences) > 1 and "azp" not in claims) or (
        claims.get("azp", client_id) != client_id
    ):
        raise BadToken("The identity provider's answer was meant for another application.")
    if not nonce or claims.get("nonce") != nonce:
        raise BadToken("The identity provider answered to another sign-in.")
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise BadToken("The identity provider did not say who signed in.")
    return claims


def _key(keys: Mapping[str, Any], identifier: str | None, algorithm: str) -> PyJWK:
    """The one signing key that the token names. Without a name there must be only one for its method."""
    published = keys.get("keys")
    fitting = [
        key
        for key in (published if isinstance(published, list) else [])
        if isinstance(key, dict)
        and key.get("kty") == KEY_TYPES[algorithm[:2]]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (identifier is None or key.get("kid") == identifier)
    ]
    if len(fitting) != 1:
        raise BadToken("The identity provider signed with a key that it does not publish.")
    return PyJWK(fitting[0], algorithm)
