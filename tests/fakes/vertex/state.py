"""What the Google Cloud fake remembers: keys and tokens by project, buckets, objects, upload sessions.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import google_crc32c
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.answers import page_count
from tests.fakes.clock import timestamp
from tests.fakes.control import FAKE
from tests.fakes.gemini import errors, state
from tests.fakes.store import ByteSink

API_KEY = re.compile(r"AQ\.([a-z0-9]+)-.+")
BUCKET = re.compile(r"([a-z0-9]+)-[a-z0-9._-]+")
"""A bucket belongs to the project at the front of its name."""


@dataclass(frozen=True)
class SigningKey:
    key_id: str
    private: rsa.RSAPrivateKey

    def pem(self) -> str:
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()


@cache
def signing_key() -> SigningKey:
    """One key for all service accounts of this process; making one takes a moment."""
    return SigningKey(secrets.token_hex(20), rsa.generate_private_key(65_537, 2048))


@dataclass
class Grant:
    """An access token that was given out."""

    project: str
    expires: float


@dataclass
class StoredObject:
    bucket: str
    name: str
    media_type: str
    metadata: dict[str, str]
    sink: ByteSink
    created: float
    generation: int
    gone: str | None = None
    data: bytes | None = None

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.name}"

    @property
    def pages(self) -> int:
        return page_count(self.data)

    def resource(self, base_url: str) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": f"{base_url}/storage/v1/b/{self.bucket}/o/{self.name.replace('/', '%2F')}",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.media_type,
            "storageClass": "STANDARD",
            "size": str(self.sink.size),
            "timeCreated": timestamp(self.created),
            "updated": timestamp(self.created),
            "etag": base64.b64encode(str(self.generation).encode()).decode(),
        }
        if self.data is not None:
            digest, checksum = hashlib.md5(self.data).digest(), google_crc32c.value(self.data)
            shown["md5Hash"] = base64.b64encode(digest).decode()
            shown["crc32c"] = base64.b64encode(checksum.to_bytes(4, "big")).decode()
        return shown | ({"metadata": self.metadata} if self.metadata else {})


@dataclass
class Session:
    """A resumable upload."""

    session_id: str
    bucket: str
    name: str
    media_type: str
    metadata: dict[str, str]
    declared: int | None
    is_new_only: bool
    sink: ByteSink = field(default_factory=ByteSink)
    writer: object | None = None
    finished: StoredObject | None = None


class VertexFake(state.GeminiFake):
    """Any number of Google Cloud projects. Caches and settings of the Gemini fake count here too."""

    def reset(self) -> None:
        super().reset()
        self.settings |= {
            "token_seconds": 3600,
            # The signer's clock may be this far off.
            "skew_seconds": 60,
            "chunk_granularity": 256 * 1024,
            "inline_image_bytes": 7 * 1024 * 1024,
            "request_bytes": 20 * 1024 * 1024,
        }
        self.grants: dict[str, Grant] = {}
        self.objects: dict[tuple[str, str], StoredObject] = {}
        self.forgotten: list[StoredObject] = []
        self.uploading: dict[str, Session] = {}
        self._stored: Counter[tuple[str, str]] = Counter()

    # Credentials

    def service_account(self, project: str, base_url: str) -> dict[str, Any]:
        key = signing_key()
        return {
            "type": "service_account",
            "project_id": project,
            "private_key_id": key.key_id,
            "private_key": key.pem(),
            "client_email": f"portico@{project}.iam.gserviceaccount.com",
            "client_id": "1234567890",
            "token_uri": f"{base_url}/token",
        }

    def grant(self, project: str) -> dict[str, Any]:
        token = f"ya29.fake-{secrets.token_urlsafe(24)}"
        seconds = int(self.settings["token_seconds"])
        self.grants[token] = Grant(project, self.clock.now() + seconds)
        return {"access_token": token, "expires_in": max(seconds - 1, 1), "token_type": "Bearer"}

    def project_of(self, request: web.Request) -> str | None:
        grant = self.grants.get(_token(request))
        if grant is not None:
            return grant.project
        if found := API_KEY.fullmatch(_key(request)):
            return found[1]
        session = self.uploading.get(request.query.get("upload_id", ""))
        found = BUCKET.fullmatch(session.bucket) if session else None
        return found[1] if found else None

    def require_token(self, request: web.Request) -> str:
        """The project of a living access token."""
        grant = self.grants.get(_token(request))
        if grant is None or self.clock.now() >= grant.expires:
            raise unauthenticated()
        return grant.project

    def require_project(self, request: web.Request) -> str:
        """By access token, or by API key where express mode takes one."""
        found = API_KEY.fullmatch(_key(request))
        return found[1] if found else self.require_token(request)

    # Objects

    def require_bucket(self, request: web.Request) -> str:
        """The bucket in the path, if it is the project's own."""
        bucket, project = request.match_info["bucket"], self.require_token(request)
        found = BUCKET.fullmatch(bucket)
        if not found:
            raise errors.GeminiError(404, "The specified bucket does not exist.", status="notFound")
        if found[1] != project:
            raise errors.GeminiError(
                403,
                f"portico@{project}.iam.gserviceaccount.com does not have storage.objects.get access to the "
                "Google Cloud Storage object. Permission 'storage.objects.get' denied on resource "
                "(or it may not exist).",
                status="forbidden",
            )
        return bucket

    def put(self, session: Session) -> StoredObject:
        now = self.clock.now()
        made = StoredObject(
            bucket=session.bucket,
            name=session.name,
            media_type=session.media_type,
            metadata=session.metadata,
            sink=session.sink,
            created=now,
            generation=int(now * 1_000_000),
            data=session.sink.take(),
        )
        replaced = self.objects.get((made.bucket, made.name))
        if replaced is not None:
            replaced.gone = "overwritten"
            self.forgotten.append(replaced)
        self.objects[made.bucket, made.name] = made
        self._stored[self.owner_of(made), made.sink.sha256] += 1
        return made

    def owner_of(self, stored: StoredObject) -> str:
        found = BUCKET.fullmatch(stored.bucket)
        return found[1] if found else ""

    def stored(self, bucket: str, name: str) -> StoredObject | None:
        return self.objects.get((bucket, name))

    def remove(self, stored: StoredObject, why: str) -> None:
        del self.objects[stored.bucket, stored.name]
        stored.gone, stored.data = why, None
        self.forgotten.append(stored)

    def files(self) -> list[dict[str, Any]]:
        return [
            {
                "id": stored.uri,
                "project": self.owner_of(stored),
                "sha256": stored.sink.sha256,
                "bytes": stored.sink.size,
                "media_type": stored.media_type,
                "name": stored.name,
                "gone": stored.gone,
            }
            for stored in [*self.forgotten, *self.objects.values()]
        ]

    def lose(self, file_id: str) -> bool:
        bucket, _, name = file_id.removeprefix("gs://").partition("/")
        stored = self.stored(bucket, name)
        if stored is not None:
            self.remove(stored, "lost")
        return stored is not None

    def uploads(self) -> Counter[tuple[str, str]]:
        return self._stored


def unauthenticated() -> errors.GeminiError:
    return errors.GeminiError(
        401,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
        "other valid authentication credential. See "
        "https://developers.google.com/identity/sign-in/web/devconsole-project.",
        details=[
            {
                "@type": errors.TYPES + "ErrorInfo",
                "reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED",
                "domain": "googleapis.com",
            }
        ],
    )


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _key(request: web.Request) -> str:
    return request.headers.get("x-goog-api-key") or request.query.get("key", "")


def fake_of(request: web.Request) -> VertexFake:
    fake = request.app[FAKE]
    assert isinstance(fake, VertexFake)
    return fake
