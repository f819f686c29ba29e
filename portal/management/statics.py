"""Prepares the static files once per version of them."""

from __future__ import annotations

import fcntl
import hashlib

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


def prepare() -> None:
    """Collects, hashes and compresses static files, unless that is already done. One process at a time."""
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    digest = _digest()
    stamp = settings.STATIC_ROOT / ".prepared"
    with (settings.STATIC_ROOT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == digest:
            return
        call_command("collectstatic", interactive=False, verbosity=0)
        stamp.write_text(digest)


def _digest() -> str:
    """Changes whenever a static file of the product or of a package does."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in sorted(finder.list([]), key=lambda found: found[0]):
            changed_at = storage.get_modified_time(path).timestamp()
            digest.update(f"{path}\0{storage.size(path)}\0{changed_at}\n".encode())
    return digest.hexdigest()
