"""Counts failed sign-ins, so that passwords cannot be tried out quickly."""

from __future__ import annotations

import hashlib

from django.core.cache import cache
from django.http import HttpRequest

MINUTES = 15
MOST_FOR_ADDRESS_AND_EMAIL = 10
MOST_FOR_EMAIL = 50
"""Higher than from one place, so that a stranger cannot easily lock a person out."""


def are_exhausted(request: HttpRequest | None, email: str) -> bool:
    found = cache.get_many(list(_limits(request, email)))
    return any(found.get(name, 0) >= most for name, most in _limits(request, email).items())


def count(request: HttpRequest | None, email: str) -> None:
    for name in _limits(request, email):
        if not cache.add(name, 1, timeout=MINUTES * 60):
            try:
                cache.incr(name)
            except ValueError:
                # It ran out between the two steps; the next failure starts a new count.
                pass


def forget(request: HttpRequest | None, email: str) -> None:
    """A success clears the count of this place; the one over all places runs out by itself."""
    cache.delete(next(iter(_limits(request, email))))


def _limits(request: HttpRequest | None, email: str) -> dict[str, int]:
    address = request.META.get("REMOTE_ADDR", "") if request else ""
    return {
        _name(f"{address} {email}"): MOST_FOR_ADDRESS_AND_EMAIL,
        _name(email): MOST_FOR_EMAIL,
    }


def _name(text: str) -> str:
    return f"sign-in:{hashlib.sha256(text.encode()).hexdigest()}"
