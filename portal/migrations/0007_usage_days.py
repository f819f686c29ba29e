"""The ledger by day, filled from what the hours hold already."""

from collections import defaultdict

from django.db import migrations, models
from django.db.models import Sum

KEYS = ("team_number", "model", "provider", "endpoint")
SUMS = ("calls", "failed", "unpriced", "input_tokens", "output_tokens", "cached_tokens", "cost")


def fill(apps, schema_editor):
    alias = schema_editor.connection.alias
    hours = apps.get_model("portal", "UsageHour").objects.using(alias)
    days = apps.get_model("portal", "UsageDay")
    sums = {f"{name}_sum": Sum(name) for name in SUMS}
    totals = defaultdict(lambda: dict.fromkeys(SUMS, 0))
    for row in hours.order_by().values("hour", *KEYS).annotate(**sums).iterator(chunk_size=5000):
        total = totals[(row["hour"].date(), *(row[name] for name in KEYS))]
        for name in SUMS:
            total[name] += row[f"{name}_sum"]
    days.objects.using(alias).bulk_create(
        (days(day=key[0], **dict(zip(KEYS, key[1:])), **total) for key, total in totals.items()), batch_size=1000
    )


class Migration(migrations.Migration):

    dependencies = [
        ('portal', '0006_context_memory'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('team_number', models.BigIntegerField(default=0)),
                ('model', models.CharField(blank=True, max_length=200)),
                ('provider', models.CharField(blank=True, max_length=32)),
                ('endpoint', models.CharField(blank=True, max_length=64)),
                ('calls', models.BigIntegerField(default=0)),
                ('failed', models.BigIntegerField(default=0)),
                ('unpriced', models.BigIntegerField(default=0)),
                ('input_tokens', models.BigIntegerField(default=0)),
                ('output_tokens', models.BigIntegerField(default=0)),
                ('cached_tokens', models.BigIntegerField(default=0)),
                ('cost', models.DecimalField(decimal_places=12, default=0, max_digits=20)),
            ],
            options={
                'ordering': ('-day',),
                'indexes': [models.Index(fields=['team_number', 'day'], name='days_of_a_team')],
                'constraints': [models.UniqueConstraint(fields=('day', 'team_number', 'model', 'provider', 'endpoint'), name='one_sum_per_day')],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
