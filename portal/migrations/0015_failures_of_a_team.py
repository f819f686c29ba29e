from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("portal", "0014_events_of_an_object"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="usagerecord",
            name="usage_of_a_team",
        ),
        migrations.AddIndex(
            model_name="usagerecord",
            index=models.Index(fields=["team", "-started_at", "-id", "status"], name="usage_of_a_team"),
        ),
    ]
