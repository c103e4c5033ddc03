from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("provisioning", "0008_row_level_security")]

    operations = [
        migrations.AddField(
            model_name="target",
            name="problem_code",
            field=models.CharField(blank=True, editable=False, max_length=30),
        ),
        # What was noted before had no code; the next check gives it one.
        migrations.RunSQL(
            "UPDATE provisioning_target SET problem_code = 'step_failed' WHERE problem <> ''",
            migrations.RunSQL.noop,
        ),
    ]
