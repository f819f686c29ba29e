"""Sessions in the database under hashed names, and where a person is signed in.

This is Django's database session engine with two differences: the table holds a keyed hash of what the
browser holds, so that a copy of the database signs nobody in, and each row says whose it is and from where.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessions
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from portal import crypto
from portal.models import Session, User
from portal.services import audit
from portal.services.audit import Actor

PLACE = "signed_in"
"""Key of the session that holds when and from where the person signed in."""
SEEN = timedelta(minutes=5)
"""How exact "last seen" is: a row is written at most this often."""
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
"""Words of a User-Agent header, the telling ones first."""


@lru_cache(maxsize=4)
def _pepper(secret_key: str) -> str:
    return crypto.subkey(secret_key, "session")


def digest(session_key: str | None) -> str:
    """Under which name the database knows the session of a browser."""
    return crypto.key_digest(session_key or "", _pepper(settings.SECRET_KEY))


class SessionStore(DatabaseSessions):
    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def load(self) -> dict[str, Any]:
        row = Session.objects.filter(
            session_key=digest(self.session_key), expire_date__gt=timezone.now()
        ).first()
        if row is None:
            self._session_key = None
            return {}
        if row.seen_at < timezone.now() - SEEN:
            Session.objects.filter(pk=row.pk).update(seen_at=timezone.now())
        return self.decode(row.session_data)

    async def aload(self) -> dict[str, Any]:
        return await sync_to_async(self.load)()

    def exists(self, session_key: str) -> bool:
        return super().exists(digest(session_key))

    async def aexists(self, session_key: str) -> bool:
        return await super().aexists(digest(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        place = data.get(PLACE) or {}
        at = place.get("at")
        return Session(
            session_key=digest(self._get_or_create_session_key()),  # type: ignore[attr-defined]  # not in the stubs
            session_data=self.encode(data),
            expire_date=self.get_expiry_date(),
            user_id=data.get(SESSION_KEY),
            address=place.get("address", ""),
            browser=place.get("browser", ""),
            signed_in_at=datetime.fromisoformat(at) if at else None,
            seen_at=timezone.now(),
        )

    async def acreate_model_instance(self, data: dict[str, Any]) -> Session:
        return await sync_to_async(self.create_model_instance)(data)

    def delete(self, session_key: str | None = None) -> None:
        given = session_key or self.session_key
        if given is not None:
            Session.objects.filter(session_key=digest(given)).delete()

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)


def remember_place(sender: object, request: HttpRequest | None, **kwargs: Any) -> None:
    """Receives Django's `user_logged_in`: writes down from where, and clears away what has run out."""
    if request is None:
        return
    request.session[PLACE] = {
        "at": timezone.now().isoformat(),
        "address": request.META.get("REMOTE_ADDR", "")[:45],
        "browser": browser_name(request.headers.get("user-agent", "")),
    }
    Session.objects.filter(expire_date__lt=timezone.now()).delete()


def browser_name(user_agent: str) -> str:
    """`Firefox on Linux`, as far as the header tells."""
    browser = next((name for word, name in BROWSERS if f"{word}/" in user_agent), "")
    system = next((name for word, name in SYSTEMS if word in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    # Programs name themselves first: `curl/8.5.0`.
    return browser or system or re.sub(r"[^\w .-]", "", user_agent.partition("/")[0])[:40]


def sessions_of(person: User) -> QuerySet[Session]:
    """Where the person is signed in now, the latest first."""
    return Session.objects.filter(user=person, expire_date__gt=timezone.now()).order_by("-seen_at")


def end_session(*, actor: Actor, person: User, pk: str) -> None:
    """Signs out one browser of this person."""
    if Session.objects.filter(user=person, pk=pk).delete()[0]:
        audit.record(actor=actor, action="person.signed_out", obj=person, after={"sessions": 1})


def end_sessions(*, actor: Actor, person: User, keep: str | None = None) -> int:
    """Signs the person out everywhere, but for the session with this key. Returns how many ended."""
    others = Session.objects.filter(user=person)
    if keep is not None:
        others = others.exclude(pk=digest(keep))
    ended, _ = others.delete()
    if ended:
        audit.record(actor=actor, action="person.signed_out", obj=person, after={"sessions": ended})
    return ended
