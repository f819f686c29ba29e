"""Whoever reads records that only some may see."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class Reader(Protocol):
    """Of records that belong to no team. portal.services.access.Caller is one."""

    @property
    def may_read_all(self) -> bool:
        """Sees every team's records: admins and auditors."""
        ...


class TeamReader(Reader, Protocol):
    """The same for records that belong to a team."""

    @property
    def team_ids(self) -> Collection[int]:
        """Primary keys of the teams whose records it sees."""
        ...
