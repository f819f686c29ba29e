from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portal", "0008_alerts"),
    ]

    operations = [
        migrations.AddField(
            model_name="usagerecord",
            name="cache_hit",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="settings",
            name="answers_dropped_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
