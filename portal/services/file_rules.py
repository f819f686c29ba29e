"""The rules for a team's files, as teams are given them: checked, written, described."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from files import storage
from files.models import FileRules
from portal.models import Team
from portal.services import options, validation
from providers.errors import InvalidRequest, UnsupportedParameter

PARAM = "file_rules"
MOST_BYTES = 2**63 - 1
MOST_DAYS = 36_500
Check = Callable[[object, str], Any]


def _bytes(value: object, param: str) -> int | None:
    return _number(value, param, 0, MOST_BYTES)


def _count(value: object, param: str) -> int | None:
    return _number(value, param, 0, options.LARGEST)


def _days(value: object, param: str) -> int | None:
    return _number(value, param, 1, MOST_DAYS)


def _number(value: object, param: str, least: int, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidRequest(f"`{param}` must be a whole number from {least} to {most}.", param=param)
    return value


def _storage(value: object, param: str) -> str:
    name = validation.text(value, param=param, limit=32)
    if name and name not in storage.aliases():
        raise InvalidRequest(
            f"`{param}` must be one of the storages here: {', '.join(storage.aliases())}.", param=param
        )
    return name


def _storages(value: object, param: str) -> list[str]:
    return [] if value is None else [_storage(name, param) for name in options.entries(value, param)]


def _flag(value: object, param: str) -> bool:
    if value is None:
        return True
    if not isinstance(value, bool):
        raise InvalidRequest(f"`{param}` must be true or false.", param=param)
    return value


RULES: Mapping[str, tuple[Check, str]] = {
    "max_bytes": (_bytes, "Bytes that all its files may have together."),
    "max_files": (_count, "Files that it may keep."),
    "max_file_bytes": (_bytes, "Bytes of a single file."),
    "max_bytes_per_day": (_bytes, "Bytes that it may upload a day (UTC)."),
    "keep_days": (_days, "Days after which its files end, whatever their upload asked for."),
    "storage": (_storage, "Where its files go; empty for the instance's default."),
    "allowed_storages": (_storages, "Where they may be kept at all; empty for any."),
    "may_share": (_flag, "May its files be shared with other teams?"),
}
"""Each with what it means; null takes a bound away."""


def checked(value: object) -> dict[str, Any]:
    """The rules among what a request gives. Raises InvalidRequest, UnsupportedParameter."""
    given = options.mapping(value, PARAM)
    for name in given:
        if name not in RULES:
            shown = f"{PARAM}.{name[:100]}"
            raise UnsupportedParameter(f"`{shown}` is not supported here.", param=shown)
    return {name: RULES[name][0](each, f"{PARAM}.{name}") for name, each in given.items()}


def changes(team: Team, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What these rules (as `checked` gives them) would change: before and after. Raises InvalidRequest for
    rules that contradict each other."""
    known = described([team.pk] if team.pk else []).get(team.pk) or shown(FileRules())
    new = {name: value for name, value in given.items() if value != known[name]}
    whole = known | new
    usual = storage.alias_for(whole["storage"] or None)
    if whole["allowed_storages"] and usual not in whole["allowed_storages"]:
        raise InvalidRequest(
            f"Its files go to {usual}, which is not among the storages allowed.", param=f"{PARAM}.storage"
        )
    return {name: known[name] for name in new}, new


def write(team: Team, new: Mapping[str, Any]) -> None:
    """Call it in the transaction that changes the team."""
    if new:
        FileRules.objects.update_or_create(team=team, defaults=dict(new))


def described(team_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Of all these teams, by one query; a team without rules has them empty."""
    ids = list(team_ids)
    found = {row.team_id: row for row in FileRules.objects.filter(team_id__in=ids)}
    return {pk: shown(found.get(pk) or FileRules()) for pk in ids}


def shown(rules: FileRules) -> dict[str, Any]:
    return {name: getattr(rules, name) for name in RULES}
