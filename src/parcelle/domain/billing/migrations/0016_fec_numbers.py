import django.db.models.deletion
from django.db import migrations, models

STAYS = """
CREATE TRIGGER billing_fecnumber_stays BEFORE UPDATE OR DELETE ON billing_fecnumber
    FOR EACH ROW EXECUTE FUNCTION billing_ledger_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_messages_taken_up")]

    operations = [
        migrations.CreateModel(
            name="FecNumber",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("year_end", models.DateField()),
                ("number", models.PositiveBigIntegerField()),
                (
                    "transaction",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="fec_numbers",
                        to="billing.ledgertransaction",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("year_end", "number"), name="fec_number_once"),
                    models.UniqueConstraint(fields=("transaction", "year_end"), name="fec_one_number_each"),
                ],
            },
        ),
        migrations.RunSQL(STAYS, "DROP TRIGGER billing_fecnumber_stays ON billing_fecnumber;"),
    ]
