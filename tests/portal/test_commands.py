"""Commands for scripts: what they print where."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from portal.models import ProviderAccount, Team, VirtualKey
from portal.services.access import caller_for_token


def run(command: str, **options: Any) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command(command, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def test_create_key_prints_the_key_alone(db: None):
    out, err = run("create_key", name="ci")
    assert caller_for_token(out.strip()).team_name == "Default"
    assert out.count("\n") == 1
    assert out.strip() not in err
    assert "key ci of team Default" in err


def test_create_key_takes_team_models_and_days(team: Team):
    out, _ = run("create_key", name="ci", team="Blue", models="gpt, gemini/*", days=1)
    key = VirtualKey.objects.get()
    assert (key.team, key.allowed_models) == (team, ["gpt", "gemini/*"])
    assert key.expires_at
    by_id, _ = run("create_key", name="ci", team=team.team_id)
    assert caller_for_token(by_id.strip()).team_id == caller_for_token(out.strip()).team_id == team.pk


def test_create_key_refuses_what_is_wrong(db: None):
    with pytest.raises(CommandError, match="no team"):
        run("create_key", name="ci", team="nobody")
    with pytest.raises(CommandError, match="16 to 256"):
        run("create_key", name="ci", key="short")
    with pytest.raises(CommandError, match="number of days"):
        call_command("create_key", "--name", "ci", "--days", "never")
    assert not VirtualKey.objects.exists()


def test_rotate_secrets_reports_what_it_did(gemini_account: ProviderAccount):
    out, _ = run("rotate_secrets")
    assert out == "0 sealed anew, 1 already with the current key, 0 changed meanwhile\n"
