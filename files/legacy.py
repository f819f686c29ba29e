"""Ids that clients still hold from LiteLLM: recognised, and translated where they were mapped to files here.

Shapes in its answers: base64url of `litellm_proxy:…`, and a prefix before base64url of `litellm:…`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final

from files.models import Caller, LegacyFileId, ManagedFile

SHAPE: Final = re.compile(r"(?:file-|batch_)?([A-Za-z0-9_-]{20,4096})={0,2}")
BEGINNINGS: Final = (b"litellm_proxy", b"litellm:")
ADVICE: Final = (
    "This id was made by LiteLLM and is not known here. Upload the file again, or ask the operator to map "
    "the old id with `manage.py map_file_ids`."
)


def is_legacy(file_id: str) -> bool:
    """Was this id made by LiteLLM?"""
    found = SHAPE.fullmatch(file_id)
    if found is None:
        return False
    encoded = found[1]
    try:
        decoded = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return False
    return decoded.startswith(BEGINNINGS)


def remember(legacy_id: str, file: ManagedFile) -> None:
    """From now on the old id means this file. Raises ValueError for an id that LiteLLM did not make."""
    if not is_legacy(legacy_id):
        raise ValueError("this is no id of LiteLLM's")
    LegacyFileId.objects.update_or_create(digest=_digest(legacy_id), defaults={"file": file})


def files_meant(caller: Caller, legacy_ids: set[str]) -> dict[str, ManagedFile]:
    """The caller's files by the old ids that mean them."""
    digests = {_digest(legacy_id): legacy_id for legacy_id in legacy_ids if is_legacy(legacy_id)}
    if not digests:
        return {}
    files = ManagedFile.objects.visible_to(caller).filter(legacy_ids__digest__in=digests)
    return {digests[digest]: file for file in files for digest in _digests_of(file) if digest in digests}


def _digests_of(file: ManagedFile) -> list[str]:
    return list(file.legacy_ids.values_list("pk", flat=True))


def _digest(legacy_id: str) -> str:
    """Padding is no part of an id."""
    return hashlib.sha256(legacy_id.rstrip("=").encode()).hexdigest()
