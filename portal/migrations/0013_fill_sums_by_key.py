"""The new tables of sums, filled from the hours; which calls had a file, from the calls."""

from django.db import migrations

PLAIN = ("calls", "failed", "unpriced", "input_tokens", "output_tokens", "cached_tokens", "cost")
MORE = ("reasoning_tokens", "duration_ms")
TABLES = (
    ("portal_usageday", "day", ("team_number", "model", "provider", "provider_model", "endpoint"), PLAIN + MORE),
    ("portal_usagekeyday", "day", ("key_number", "user_number", "model", "team_number"), PLAIN + MORE),
    ("portal_usagekeymonth", "month", ("key_number", "user_number", "team_number"), PLAIN),
)
# By the name of the database: the expression of an hour's day and of its month.
MOMENTS = {
    "postgresql": {
        "day": "(hour AT TIME ZONE 'UTC')::date",
        "month": "date_trunc('month', hour AT TIME ZONE 'UTC')::date",
    },
    "sqlite": {"day": "date(hour)", "month": "date(hour, 'start of month')"},
}


def fill(apps, schema_editor):
    moments = MOMENTS[schema_editor.connection.vendor]
    with schema_editor.connection.cursor() as cursor:
        for table, moment, keys, sums in TABLES:
            cursor.execute(f"DELETE FROM {table}")
            cursor.execute(
                f"INSERT INTO {table} ({moment}, {', '.join(keys + sums)}) "
                f"SELECT {moments[moment]}, {', '.join(keys)}, {', '.join(f'SUM({name})' for name in sums)} "
                f"FROM portal_usagehour GROUP BY {moments[moment]}, {', '.join(keys)}"
            )


def note_files(apps, schema_editor):
    alias = schema_editor.connection.alias
    rows = apps.get_model("portal", "UsageRecord").objects.using(alias).exclude(files=[])
    uses = apps.get_model("portal", "UsageFile")
    batch = []
    for pk, started_at, files in rows.values_list("pk", "started_at", "files").iterator(chunk_size=2000):
        ids = {entry.get("file_id") for entry in files if isinstance(entry, dict)}
        batch += [uses(file_id=each, call_id=pk, started_at=started_at) for each in ids if isinstance(each, str)]
        if len(batch) >= 2000:
            uses.objects.using(alias).bulk_create(batch)
            batch = []
    uses.objects.using(alias).bulk_create(batch)


class Migration(migrations.Migration):

    dependencies = [
        ("portal", "0012_sums_by_key"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RunPython(note_files, migrations.RunPython.noop),
    ]
