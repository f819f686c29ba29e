from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("portal", "0016_temporary_budgets")]

    operations = [
        migrations.AddField("provideraccount", "info", models.JSONField(blank=True, default=dict)),
    ]
