"""Keys whose limits are promised (`guaranteed_throughput`): a team's keys get no more than the team has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from portal.models import Team, VirtualKey
from portal.services.options import GUARANTEED
from providers.errors import InvalidRequest

KINDS = ("rpm_limit", "tpm_limit")


def require_room(key: VirtualKey) -> None:
    """Raises InvalidRequest when the limits of all the team's keys would be more than the team's own.

    Call it in the transaction that saves the key: keys of one team wait for each other.
    """
    kinds = [kind for kind in KINDS if key.options.get(f"{kind}_type") == GUARANTEED]
    if not kinds:
        return
    team = Team.objects.select_for_update().get(pk=key.team_id)
    others = VirtualKey.objects.filter(team=team, deleted_at=None).exclude(pk=key.pk).exclude(options={})
    given: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    for stored in others.values_list("options", flat=True).iterator():
        for kind in kinds:
            given[kind].update(_wanted(stored, kind))
    for kind in kinds:
        most = _wanted(team.options, kind)
        for model, wanted in _wanted(key.options, kind).items():
            # What a team has in all bounds each of its models as well.
            bound = most.get(model, most.get(""))
            if bound is not None and given[kind][model] + wanted > bound:
                raise _refusal(kind, model, given[kind][model], bound)


def _wanted(stored: Mapping[str, Any], kind: str) -> dict[str, int]:
    """By model, "" for all together."""
    whole = stored.get(kind)
    return {**({} if whole is None else {"": whole}), **stored.get(f"model_{kind}", {})}


def _refusal(kind: str, model: str, given: int, bound: int) -> InvalidRequest:
    of_model = f" of {model}" if model else ""
    return InvalidRequest(
        f"The team has {bound}{of_model}, and its other keys {given}: this `{kind}` cannot be guaranteed.",
        param=f"model_{kind}" if model else kind,
        code="limit_overallocated",
    )
