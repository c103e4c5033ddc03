from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0016_fec_numbers")]

    operations = [
        migrations.AlterField(
            model_name="refund",
            name="state",
            field=models.CharField(
                choices=[
                    ("requested", "Asked for"),
                    ("submitted", "Handed to the payment service"),
                    ("pending", "On its way"),
                    ("unknown", "Outcome unknown"),
                    ("done", "Done"),
                    ("failed", "Failed"),
                    ("came_back", "Came back"),
                ],
                default="requested",
                max_length=10,
                verbose_name="state",
            ),
        ),
    ]
