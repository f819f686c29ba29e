import django.db.models.deletion
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('portal', '0011_routing'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('file_id', models.CharField(max_length=72)),
                ('started_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='UsageKeyDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('team_number', models.BigIntegerField(default=0)),
                ('key_number', models.BigIntegerField(default=0)),
                ('user_number', models.BigIntegerField(default=0)),
                ('model', models.CharField(blank=True, max_length=200)),
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
                'ordering': ('-day',),
            },
        ),
        migrations.CreateModel(
            name='UsageKeyMonth',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('month', models.DateField()),
                ('team_number', models.BigIntegerField(default=0)),
                ('key_number', models.BigIntegerField(default=0)),
                ('user_number', models.BigIntegerField(default=0)),
                ('calls', models.BigIntegerField(default=0)),
                ('failed', models.BigIntegerField(default=0)),
                ('unpriced', models.BigIntegerField(default=0)),
                ('input_tokens', models.BigIntegerField(default=0)),
                ('output_tokens', models.BigIntegerField(default=0)),
                ('cached_tokens', models.BigIntegerField(default=0)),
                ('cost', models.DecimalField(decimal_places=12, default=0, max_digits=20)),
            ],
            options={
                'ordering': ('-month',),
            },
        ),
        migrations.RemoveConstraint(
            model_name='usageday',
            name='one_sum_per_day',
        ),
        migrations.AddField(
            model_name='usageday',
            name='duration_ms',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='usageday',
            name='provider_model',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AddField(
            model_name='usageday',
            name='reasoning_tokens',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='usagerecord',
            name='key',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, to='portal.virtualkey'),
        ),
        migrations.AlterField(
            model_name='usagerecord',
            name='team',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, to='portal.team'),
        ),
        migrations.AlterField(
            model_name='usagerecord',
            name='user',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='usagerecord',
            index=models.Index(fields=['user', '-started_at', '-id'], name='usage_of_a_person'),
        ),
        migrations.AddIndex(
            model_name='usagerecord',
            index=models.Index(fields=['model', '-started_at', '-id'], name='usage_of_a_model'),
        ),
        migrations.AddIndex(
            model_name='usagerecord',
            index=models.Index(condition=models.Q(('status__gte', 400)), fields=['-started_at', '-id', 'status'], name='usage_that_failed'),
        ),
        migrations.AddIndex(
            model_name='usagerecord',
            index=models.Index(condition=models.Q(('error_code__gt', '')), fields=['error_code', '-started_at', '-id'], name='usage_by_error'),
        ),
        migrations.AddIndex(
            model_name='usagerecord',
            index=models.Index(condition=models.Q(('duration_ms__gte', 10000)), fields=['-started_at', '-id', 'duration_ms'], name='usage_that_was_slow'),
        ),
        migrations.AddIndex(
            model_name='usagerecord',
            index=models.Index(condition=models.Q(('cost__gte', Decimal('0.1'))), fields=['-started_at', '-id', 'cost'], name='usage_that_was_dear'),
        ),
        migrations.AddIndex(
            model_name='virtualkey',
            index=models.Index(fields=['-created_at', '-id'], name='keys_by_age'),
        ),
        migrations.AddConstraint(
            model_name='usageday',
            constraint=models.UniqueConstraint(fields=('day', 'team_number', 'model', 'provider', 'provider_model', 'endpoint'), name='one_sum_per_day'),
        ),
        migrations.AddField(
            model_name='usagefile',
            name='call',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='portal.usagerecord'),
        ),
        migrations.AddIndex(
            model_name='usagekeyday',
            index=models.Index(fields=['key_number', 'day'], name='days_of_a_key'),
        ),
        migrations.AddIndex(
            model_name='usagekeyday',
            index=models.Index(fields=['user_number', 'day'], name='days_of_a_person'),
        ),
        migrations.AddIndex(
            model_name='usagekeyday',
            index=models.Index(fields=['team_number', 'day'], name='key_days_of_a_team'),
        ),
        migrations.AddConstraint(
            model_name='usagekeyday',
            constraint=models.UniqueConstraint(fields=('day', 'key_number', 'user_number', 'model', 'team_number'), name='one_key_sum_per_day'),
        ),
        migrations.AddIndex(
            model_name='usagekeymonth',
            index=models.Index(fields=['team_number', 'month'], name='key_months_of_a_team'),
        ),
        migrations.AddConstraint(
            model_name='usagekeymonth',
            constraint=models.UniqueConstraint(fields=('month', 'key_number', 'user_number', 'team_number'), name='one_key_sum_per_month'),
        ),
        migrations.AddIndex(
            model_name='usagefile',
            index=models.Index(fields=['file_id', '-started_at'], name='usage_of_a_file'),
        ),
    ]
