"""The bucket of an account, and the names and descriptions of the objects in it that are ours.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from providers import urls
from providers.errors import FileNotFound, UnsupportedFile, UpstreamInvalid, UpstreamRefusedCredentials
from providers.gemini.remote import to_time
from providers.types import Connection, Json, RemoteFile, Upload
from providers.vertex import media, spec
from providers.vertex.credentials import bearer

_PART = re.compile(r"[A-Za-z0-9._-]{1,128}")
_OURS = re.compile(
    rf"gs://({spec.BUCKET.pattern})/((?:[A-Za-z0-9._-]+/)*{spec.FOLDER}/([A-Za-z0-9_-]{{1,128}})/[A-Za-z0-9_-]{{16,64}})"
)
_NAMELESS = "unnamed"
"""Stands in for our file id where there is none."""


@dataclass(frozen=True, slots=True)
class Place:
    """An object: its bucket and its name there."""

    bucket: str
    name: str

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.name}"

    @property
    def path(self) -> str:
        return f"storage/v1/b/{self.bucket}/o/{quote(self.name, safe='')}"


def base() -> str:
    """Where Cloud Storage is; emulators are named as Google's own libraries expect it."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "").strip().rstrip("/")
    if not emulator:
        return spec.STORAGE_BASE
    return emulator if "://" in emulator else f"http://{emulator}"


def bucket_of(connection: Connection) -> tuple[str, str]:
    """The account's bucket, and the folder in it that ends with a slash or is empty.

    Raises UnsupportedFile without one, and where only an API key would open it.
    """
    named = connection.options.get("gcs_bucket_name") or os.environ.get("GCS_BUCKET_NAME")
    if not isinstance(named, str) or not named.strip():
        raise UnsupportedFile(
            "The Vertex AI account has no Cloud Storage bucket (gcs_bucket_name) for copies of files."
        )
    if bearer(connection) is None:
        raise UnsupportedFile("A Vertex AI account with an API key cannot use Cloud Storage for files.")
    bucket, _, folder = named.strip().removeprefix("gs://").strip("/").partition("/")
    parts = [part for part in folder.split("/") if part]
    if not spec.BUCKET.fullmatch(bucket) or not all(_PART.fullmatch(part) for part in parts):
        raise UpstreamRefusedCredentials("The provider account names no valid storage bucket.")
    return bucket, "".join(f"{part}/" for part in parts)


def new_place(connection: Connection, upload: Upload) -> Place:
    """A name that nobody can guess; our file id in it lets lost copies be recognised."""
    bucket, folder = bucket_of(connection)
    reference = upload.reference or _NAMELESS
    return Place(bucket, f"{folder}{spec.FOLDER}/{urls.segment(reference)}/{secrets.token_urlsafe(24)}")


def place_of(file_id: str) -> Place:
    """The object of an id. Raises FileNotFound for one that is no copy of ours."""
    found = _OURS.fullmatch(file_id)
    if not found or any(part in (".", "..") for part in found[2].split("/")):
        raise FileNotFound("The provider has no such file.")
    return Place(found[1], found[2])


def is_ours(url: str) -> bool:
    """Is this the address of a copy that we made? Callers refer to files by id, never to these."""
    return url.startswith("gs://") and f"/{spec.FOLDER}/" in url


def description(upload: Upload) -> Json:
    """The object's metadata when it is made."""
    return {
        "contentType": media.upload_type(upload.media_type, upload.filename, upload.purpose),
        "metadata": {
            "portico-filename": upload.filename[:512],
            "portico-purpose": upload.purpose,
            "portico-reference": upload.reference,
        },
    }


def to_remote_file(described: Any) -> RemoteFile:
    """An object as Cloud Storage describes it. Raises UpstreamInvalid when it lacks what a copy needs."""
    if not isinstance(described, dict):
        raise UpstreamInvalid("The provider described no object.")
    bucket, name, size = described.get("bucket"), described.get("name"), described.get("size")
    if not isinstance(bucket, str) or not isinstance(name, str) or not bucket or not name:
        raise UpstreamInvalid("The provider described an object without a name.")
    if isinstance(size, str) and size.isascii() and size.isdigit() and len(size) < 16:
        size = int(size)
    known = described.get("metadata")
    known = known if isinstance(known, dict) else {}
    uri = f"gs://{bucket}/{name}"
    found = _OURS.fullmatch(uri)
    reference = found[3] if found and found[3] != _NAMELESS else ""
    media_type = described.get("contentType")
    return RemoteFile(
        id=uri,
        uri=uri,
        media_type=media_type if isinstance(media_type, str) else "",
        size=size if isinstance(size, int) and not isinstance(size, bool) else 0,
        state="active",
        filename=_text(known.get("portico-filename")) or name,
        purpose=_text(known.get("portico-purpose")) or "user_data",
        created_at=to_time(described.get("timeCreated")),
        reference=reference,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
