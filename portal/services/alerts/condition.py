"""One thing that is worth telling, as a plain value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Condition:
    """`kind` is one of tables.ALERT_TYPES; `event` and `group` are a webhook's event and event_group.

    `fingerprint` is the same as long as it is the same condition. `replaces` are conditions that this one
    makes pointless to tell. `is_once`: told once for good, not again when it comes back. `people` are e-mail
    addresses of those whom it concerns themselves.
    """

    fingerprint: str
    kind: str
    event: str
    title: str
    text: str
    path: str
    group: str = "proxy"
    facts: Mapping[str, Any] = field(default_factory=dict)
    replaces: tuple[str, ...] = ()
    is_once: bool = False
    people: tuple[str, ...] = ()
