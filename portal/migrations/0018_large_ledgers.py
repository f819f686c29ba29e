from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import migrations, models

TABLE = "portal_usagerecord"


def improve(apps: Any, schema_editor: Any) -> None:
    """PostgreSQL: nobody asks for beginnings of ids, so what Django made for that goes, which halves the
    writes at random places. And the planner is told that a key's and a person's calls are mostly of one team:
    else it takes the two for independent and reads a hundred times as many rows."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND tablename = %s "
            "AND (indexname LIKE %s OR indexname LIKE %s)",
            [TABLE, f"{TABLE}_call_id_%_like", f"{TABLE}_request_id_%_like"],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP INDEX {schema_editor.quote_name(name)}")
        cursor.execute(
            f"CREATE STATISTICS IF NOT EXISTS keys_have_teams (dependencies) "
            f"ON team_id, key_id, user_id FROM {TABLE}"
        )


def undo(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP STATISTICS IF EXISTS keys_have_teams")


class Migration(migrations.Migration):
    dependencies = [
        ("portal", "0017_account_info"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="usagerecord", name="usage_of_a_model"),
        migrations.RemoveIndex(model_name="usagerecord", name="usage_by_error"),
        migrations.RemoveIndex(model_name="usagerecord", name="usage_that_was_slow"),
        migrations.RemoveIndex(model_name="usagerecord", name="usage_that_was_dear"),
        migrations.AddIndex(
            model_name="usagekeyday",
            index=models.Index(fields=["model", "day"], name="key_days_of_a_model"),
        ),
        migrations.AddIndex(
            model_name="usagerecord",
            index=models.Index(
                fields=["model", "-started_at", "-id", "status", "team"], name="usage_of_a_model"
            ),
        ),
        migrations.AddIndex(
            model_name="usagerecord",
            index=models.Index(
                fields=["deployment_id", "-started_at", "-id", "team"], name="usage_of_a_deployment"
            ),
        ),
        migrations.AddIndex(
            model_name="usagerecord",
            index=models.Index(
                condition=models.Q(("error_code__gt", "")),
                fields=["error_code", "-started_at", "-id", "status", "team"],
                name="usage_by_error",
            ),
        ),
        migrations.AddIndex(
            model_name="usagerecord",
            index=models.Index(
                condition=models.Q(("duration_ms__gte", 10000)),
                fields=["-started_at", "-id", "duration_ms", "status", "team"],
                name="usage_that_was_slow",
            ),
        ),
        migrations.AddIndex(
            model_name="usagerecord",
            index=models.Index(
                condition=models.Q(("cost__gte", Decimal("0.1"))),
                fields=["-started_at", "-id", "cost", "status", "team"],
                name="usage_that_was_dear",
            ),
        ),
        migrations.RunPython(improve, undo),
    ]
