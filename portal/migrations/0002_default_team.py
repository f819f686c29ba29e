"""Makes the team that always exists."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def make_default_team(apps: Any, schema_editor: Any) -> None:
    team = apps.get_model("portal", "Team")
    team.objects.using(schema_editor.connection.alias).get_or_create(
        team_id="default", defaults={"name": "Default"}
    )


class Migration(migrations.Migration):
    dependencies = [("portal", "0001_initial")]
    operations = [migrations.RunPython(make_default_team, migrations.RunPython.noop)]
