from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portal", "0015_failures_of_a_team"),
    ]

    operations = [
        migrations.AddField(
            model_name="budgetwindow",
            name="increase",
            field=models.DecimalField(blank=True, decimal_places=12, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name="budgetwindow",
            name="increase_ends_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
