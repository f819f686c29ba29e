"""A seal on the outcome of a test, so that Save can trust that exactly these values were tested."""

from __future__ import annotations

from django.core import signing
from django.http import QueryDict
from django.utils.crypto import salted_hmac

from portal.gateway.trial_rounds import Outcome

SALT = "portal.dashboard.tested"
OLDEST_SECONDS = 3600
NOT_COMPARED = frozenset({"csrfmiddlewaretoken", "tested"})


def seal(values: QueryDict, outcome: Outcome) -> str:
    """The outcome, signed together with a fingerprint of the values it holds for."""
    return signing.dumps({"outcome": outcome, "values": _fingerprint(values)}, salt=SALT)


def unseal(values: QueryDict) -> Outcome | None:
    """The outcome when exactly these values were tested a while ago, otherwise None."""
    try:
        sealed = signing.loads(values.get("tested", ""), salt=SALT, max_age=OLDEST_SECONDS)
    except signing.BadSignature:
        return None
    outcome: Outcome = sealed["outcome"]
    return outcome if sealed["values"] == _fingerprint(values) else None


def _fingerprint(values: QueryDict) -> str:
    compared = sorted((name, values.getlist(name)) for name in values if name not in NOT_COMPARED)
    return salted_hmac(SALT, repr(compared), algorithm="sha256").hexdigest()
