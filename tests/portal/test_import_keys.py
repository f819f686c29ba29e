"""LiteLLM's keys go on working after a dump of its table was imported."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from portal.models import Team, VirtualKey
from portal.services import budgets, catalog
from portal.services.access import caller_for_token
from providers.errors import Unauthenticated

pytestmark = pytest.mark.django_db
OLD = "sk-from-litellm-0123456789"
ROW: dict[str, Any] = {
    "token": hashlib.sha256(OLD.encode()).hexdigest(),
    "key_name": "sk-...6789",
    "key_alias": "old one",
    "spend": 1.5,
    "expires": None,
    "models": ["gpt"],
    "aliases": {},
    "team_id": "team-of-old",
    "rpm_limit": 7,
    "max_budget": 10.0,
    "budget_duration": "30d",
    "blocked": None,
    "metadata": {"tags": ["a"]},
}


def written(folder: Path, kind: str) -> str:
    path = folder / f"dump.{kind}"
    match kind:
        case "json":
            path.write_text(json.dumps([ROW]))
        case "jsonl":
            path.write_text(json.dumps(ROW))
        case "csv":
            flat = ROW | {
                "models": "{gpt}",
                "aliases": "{}",
                "metadata": json.dumps(ROW["metadata"]),
                "expires": "",
            }
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, flat)
                writer.writeheader()
                writer.writerow(flat)
    return str(path)


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_a_key_from_a_dump_goes_on_working(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    call_command("import_keys", written(tmp_path, kind))
    catalog.refresh()
    caller = caller_for_token(OLD)
    assert (caller.name, caller.team_name, caller.allowed) == ("old one", "team-of-old", (("gpt",),))
    assert caller.key_options.limits.requests == 7
    assert caller.tags == ("a",)
    row = VirtualKey.objects.get()
    subject = budgets.subject_of(row)
    assert budgets.described([subject])[subject]["max_budget"] == 10
    with pytest.raises(Unauthenticated):
        caller_for_token(ROW["token"])
    call_command("import_keys", written(tmp_path, kind))
    assert "0 keys taken over, 1 were here already" in capsys.readouterr().out


def test_a_key_that_was_rotated_goes_on_asking_for_new_values(tmp_path: Path):
    due = "2027-01-02 03:04:05"
    rotated = ROW | {"auto_rotate": True, "rotation_interval": "30d", "key_rotation_at": due}
    off = ROW | {"token": "0" * 64, "key_alias": "off", "auto_rotate": False, "rotation_interval": "30d"}
    path = tmp_path / "dump.json"
    path.write_text(json.dumps([rotated, off]))
    call_command("import_keys", str(path))
    row = VirtualKey.objects.get(name="old one")
    assert (row.rotation_interval, row.rotate_at) == ("30d", datetime.fromisoformat(f"{due}+00:00"))
    other = VirtualKey.objects.get(name="off")
    assert (other.rotation_interval, other.rotate_at) == ("", None)


def test_a_dry_run_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    call_command("import_keys", written(tmp_path, "json"), "--dry-run")
    assert "1 keys would be taken over" in capsys.readouterr().out
    assert not VirtualKey.objects.exists()
    assert not Team.objects.filter(team_id="team-of-old").exists()


def test_what_cannot_be_understood_is_named_with_its_row(tmp_path: Path):
    path = tmp_path / "dump.json"
    path.write_text(json.dumps([ROW, ROW | {"token": "not a hash"}]))
    with pytest.raises(CommandError, match="row 2: `token` must be a SHA-256 hash"):
        call_command("import_keys", str(path))
    assert not VirtualKey.objects.exists()


def test_what_a_key_may_spend_and_how_it_routes_comes_along(tmp_path: Path):
    row = ROW | {
        "budget_limits": [{"budget_duration": "1d", "max_budget": 2, "reset_at": "2026-01-01T00:00:00"}],
        "budget_fallbacks": {"gpt": ["gpt-mini"]},
        "router_settings": json.dumps({"num_retries": 1, "fallbacks": None}),
        "allowed_cache_controls": ["no-store"],
        "metadata": {
            "model_rpm_limit": {"gpt": 3},
            "tag_rpm_limit": {"a": 1},
            "enforced_params": ["user"],
            "throttle_on_budget_exceeded": True,
            "temp_budget_increase": 5,
            "temp_budget_expiry": "2027-01-01T00:00:00+00:00",
        },
    }
    path = tmp_path / "dump.json"
    path.write_text(json.dumps([row]))
    call_command("import_keys", str(path))
    found = VirtualKey.objects.get()
    assert found.options == {
        "rpm_limit": 7,
        "budget_fallbacks": {"gpt": ["gpt-mini"]},
        "router_settings": {"num_retries": 1},
        "allowed_cache_controls": ["no-store"],
        "model_rpm_limit": {"gpt": 3},
        "tag_rpm_limit": {"a": 1},
        "enforced_params": ["user"],
        "throttle_on_budget_exceeded": True,
    }
    subject = budgets.subject_of(found)
    shown = budgets.described([subject])[subject]
    assert (shown["budget_limits"][0]["max_budget"], shown["temp_budget_increase"]) == (2, 5)


def test_settings_of_routing_that_no_key_may_have_are_named(tmp_path: Path):
    path = tmp_path / "dump.json"
    path.write_text(json.dumps([ROW | {"router_settings": {"cooldown_time": 5}}]))
    with pytest.raises(CommandError, match=r"row 1: `router_settings\.cooldown_time` is not supported"):
        call_command("import_keys", str(path))
