from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("files", "0006_files_kept_by_a_team"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="managedfile",
            index=models.Index(fields=["purpose", "-created_at", "-id"], name="files_of_a_purpose"),
        ),
        migrations.AddIndex(
            model_name="providerfilemapping",
            index=models.Index(fields=["account", "state"], name="copies_of_an_account"),
        ),
    ]
