from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("files", "0008_parts_cut_short"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="managedfile",
            index=models.Index(
                fields=["media_type"], name="files_by_media_type", opclasses=("varchar_pattern_ops",)
            ),
        ),
    ]
