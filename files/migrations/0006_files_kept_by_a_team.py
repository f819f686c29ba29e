from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('files', '0005_texts_and_damage'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='managedfile',
            index=models.Index(condition=models.Q(('deleted_at', None)), fields=['team', 'size'], name='files_kept_by_a_team'),
        ),
    ]
