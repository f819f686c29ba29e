"""Sealing of provider secrets with a rotatable keyring, and keyed hashes of virtual keys.

A sealed value reads `v1:<key id>:<base64 of nonce and AES-256-GCM ciphertext>`; where it stands (table, row,
field) is authenticated with it, so that a sealed value moved to another row does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portal import env
from providers.errors import ServiceError

VERSION = "v1"
NONCE_BYTES = 12
KEY_PREFIX = "sk-"
CHECK_CHARACTERS = 6


class CannotOpen(ServiceError):
    """A sealed value has no key in the ring, was changed, or was moved. Says which key id is missing."""

    code = "secret_unreadable"


@dataclass(frozen=True)
class Keyring:
    """AES-256 keys by id. The first seals; all open."""

    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, written: str) -> Keyring:
        """Reads `id:base64,id:base64`. Raises BadEnvironment without repeating a key."""
        keys: dict[str, bytes] = {}
        for number, item in enumerate(written.split(","), start=1):
            identifier, colon, encoded = item.strip().partition(":")
            try:
                key = base64.b64decode(encoded, altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if not colon or not identifier.isalnum() or len(key) != 32:
                raise env.BadEnvironment(
                    f"PORTICO_ENCRYPTION_KEYS: item {number} must read id:base64 of 32 bytes, id alphanumeric"
                )
            if identifier in keys:
                raise env.BadEnvironment(f"PORTICO_ENCRYPTION_KEYS: the id {identifier!r} stands twice")
            keys[identifier] = key
        return cls(keys)

    @property
    def current(self) -> str:
        """Id of the key that seals."""
        return next(iter(self.keys))

    def seal(self, plain: str, place: str) -> str:
        """Seals a text for one place, e.g. `portal_provideraccount:7:secrets`."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self.keys[self.current]).encrypt(nonce, plain.encode(), place.encode())
        return f"{VERSION}:{self.current}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, place: str) -> str:
        """Opens what `seal` made for the same place. Raises CannotOpen."""
        version, _, rest = sealed.partition(":")
        identifier, _, encoded = rest.partition(":")
        if version != VERSION:
            raise CannotOpen("the value was not sealed by this product")
        if identifier not in self.keys:
            raise CannotOpen(f"the encryption key {identifier!r} is not in PORTICO_ENCRYPTION_KEYS")
        try:
            data = base64.b64decode(encoded, validate=True)
            plain = AESGCM(self.keys[identifier]).decrypt(
                data[:NONCE_BYTES], data[NONCE_BYTES:], place.encode()
            )
        except (InvalidTag, ValueError):
            raise CannotOpen("the sealed value was changed or belongs to another row") from None
        return plain.decode()

    def is_current(self, sealed: str) -> bool:
        return sealed.startswith(f"{VERSION}:{self.current}:")


def generated(data_dir: Path, name: str, make: str) -> str:
    """A secret made once and kept in the data directory, readable by its owner alone."""
    directory = data_dir / "secrets"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / name
    candidate = directory / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
    if not path.exists():
        # Several processes may start at once: link() lets exactly one of them win.
        handle = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(make)
        try:
            path.hardlink_to(candidate)
        except FileExistsError:
            pass
        finally:
            candidate.unlink()
    return path.read_text(encoding="ascii").strip()


def new_encryption_keys() -> str:
    return "k1:" + base64.b64encode(os.urandom(32)).decode()


def new_virtual_key() -> str:
    """`sk-` + 32 random characters (192 bits) + 6 that check them, so that typing errors show."""
    body = secrets.token_urlsafe(24)
    return f"{KEY_PREFIX}{body}{_check(body)}"


def is_well_formed(key: str) -> bool:
    """Could this be a key that we made? Keys brought along from elsewhere need not be."""
    body = key.removeprefix(KEY_PREFIX)
    return key.startswith(KEY_PREFIX) and _check(body[:-CHECK_CHARACTERS]) == body[-CHECK_CHARACTERS:]


def subkey(secret: str, purpose: str) -> str:
    """A key for one purpose, made of one that serves several; 64 hex digits."""
    return hmac.new(secret.encode(), f"portico {purpose}".encode(), hashlib.sha256).hexdigest()


def key_digest(key: str, pepper: str) -> str:
    """What is stored of a virtual key: HMAC-SHA-256, 64 hex digits. It is not a key itself."""
    return hmac.digest(pepper.encode(), key.encode(errors="surrogatepass"), "sha256").hex()


def key_hint(key: str) -> str:
    """What may be shown of a key after its making."""
    return f"{key[:3]}…{key[-4:]}"


def _check(body: str) -> str:
    number = zlib.crc32(body.encode(errors="surrogatepass"))
    return base64.urlsafe_b64encode(number.to_bytes(4, "big")).decode()[:CHECK_CHARACTERS]
