"""Rights and limits of keys, teams and people; budgets with their counters; sums per hour."""

import django.db.models.deletion
import portal.models.budget
import portal.models.user
from django.db import migrations, models


def give_ids(apps, schema_editor):
    users = apps.get_model("portal", "User").objects.using(schema_editor.connection.alias)
    for user in users.filter(user_id=None):
        user.user_id = portal.models.user.new_user_id()
        user.save(update_fields=["user_id"])


class Migration(migrations.Migration):

    dependencies = [
        ('portal', '0002_default_team'),
    ]

    operations = [
        migrations.CreateModel(
            name='Budget',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('budget_id', models.CharField(default=portal.models.budget.new_budget_id, max_length=64, unique=True)),
                ('max_budget', models.DecimalField(blank=True, decimal_places=12, max_digits=20, null=True)),
                ('soft_budget', models.DecimalField(blank=True, decimal_places=12, max_digits=20, null=True)),
                ('duration', models.CharField(blank=True, max_length=16)),
                ('options', models.JSONField(blank=True, default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'ordering': ('budget_id',),
            },
        ),
        migrations.CreateModel(
            name='Reservation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('call_id', models.CharField(max_length=64, unique=True)),
                ('amount', models.DecimalField(decimal_places=12, max_digits=20)),
                ('windows', models.JSONField(default=list)),
                ('owner', models.CharField(db_index=True, max_length=32)),
                ('row', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField()),
                ('renewed_at', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.AddField(
            model_name='membership',
            name='options',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='membership',
            name='spend',
            field=models.DecimalField(decimal_places=12, default=0, editable=False, max_digits=20),
        ),
        migrations.AddField(
            model_name='team',
            name='options',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='team',
            name='spend',
            field=models.DecimalField(decimal_places=12, default=0, editable=False, max_digits=20),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='tags',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='user',
            name='allowed_models',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='user',
            name='metadata',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='user',
            name='options',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='user',
            name='spend',
            field=models.DecimalField(decimal_places=12, default=0, editable=False, max_digits=20),
        ),
        migrations.AddField(
            model_name='user',
            name='user_id',
            field=models.CharField(max_length=64, null=True),
        ),
        migrations.RunPython(give_ids, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='user',
            name='user_id',
            field=models.CharField(default=portal.models.user.new_user_id, max_length=64, unique=True),
        ),
        migrations.AddField(
            model_name='virtualkey',
            name='created_by',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='virtualkey',
            name='options',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='virtualkey',
            name='spend',
            field=models.DecimalField(decimal_places=12, default=0, editable=False, max_digits=20),
        ),
        migrations.AddField(
            model_name='membership',
            name='budget',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='memberships', to='portal.budget'),
        ),
        migrations.AddField(
            model_name='virtualkey',
            name='budget',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='keys', to='portal.budget'),
        ),
        migrations.CreateModel(
            name='BudgetWindow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('subject', models.CharField(max_length=230)),
                ('model', models.CharField(blank=True, max_length=200)),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('duration', models.CharField(blank=True, max_length=16)),
                ('max_budget', models.DecimalField(blank=True, decimal_places=12, max_digits=20, null=True)),
                ('soft_budget', models.DecimalField(blank=True, decimal_places=12, max_digits=20, null=True)),
                ('spent', models.DecimalField(decimal_places=12, default=0, max_digits=20)),
                ('reserved', models.DecimalField(decimal_places=12, default=0, max_digits=20)),
                ('resets_at', models.DateTimeField(blank=True, null=True)),
                ('alerted_at', models.DateTimeField(blank=True, null=True)),
                ('revision', models.BigIntegerField(db_index=True, default=0)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ('subject', 'model', 'position'),
                'constraints': [models.UniqueConstraint(fields=('subject', 'model', 'position'), name='one_window_per_place')],
            },
        ),
        migrations.CreateModel(
            name='RetiredKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('valid_until', models.DateTimeField(db_index=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('key', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='retired', to='portal.virtualkey')),
            ],
        ),
        migrations.CreateModel(
            name='TagHour',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hour', models.DateTimeField()),
                ('tag', models.CharField(max_length=128)),
                ('calls', models.BigIntegerField(default=0)),
                ('failed', models.BigIntegerField(default=0)),
                ('input_tokens', models.BigIntegerField(default=0)),
                ('output_tokens', models.BigIntegerField(default=0)),
                ('cost', models.DecimalField(decimal_places=12, default=0, max_digits=20)),
            ],
            options={
                'ordering': ('-hour',),
                'constraints': [models.UniqueConstraint(fields=('tag', 'hour'), name='one_tag_sum_per_hour')],
            },
        ),
        migrations.CreateModel(
            name='UsageHour',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hour', models.DateTimeField()),
                ('team_number', models.BigIntegerField(default=0)),
                ('key_number', models.BigIntegerField(default=0)),
                ('user_number', models.BigIntegerField(default=0)),
                ('model', models.CharField(blank=True, max_length=200)),
                ('provider', models.CharField(blank=True, max_length=32)),
                ('provider_model', models.CharField(blank=True, max_length=300)),
                ('endpoint', models.CharField(blank=True, max_length=64)),
                ('calls', models.BigIntegerField(default=0)),
                ('failed', models.BigIntegerField(default=0)),
                ('unpriced', models.BigIntegerField(default=0)),
                ('input_tokens', models.BigIntegerField(default=0)),
                ('output_tokens', models.BigIntegerField(default=0)),
                ('cached_tokens', models.BigIntegerField(default=0)),
                ('reasoning_tokens', models.BigIntegerField(default=0)),
                ('duration_ms', models.BigIntegerField(default=0)),
                ('cost', models.DecimalField(decimal_places=12, default=0, max_digits=20)),
            ],
            options={
                'ordering': ('-hour',),
                'indexes': [models.Index(fields=['team_number', 'hour'], name='hours_of_a_team'), models.Index(fields=['key_number', 'hour'], name='hours_of_a_key'), models.Index(fields=['user_number', 'hour'], name='hours_of_a_person')],
                'constraints': [models.UniqueConstraint(fields=('hour', 'team_number', 'key_number', 'user_number', 'model', 'provider', 'provider_model', 'endpoint'), name='one_sum_per_hour')],
            },
        ),
    ]
