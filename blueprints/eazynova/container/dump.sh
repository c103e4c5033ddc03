# Two dollar signs stand for one: this file is filled in on its way into the container.
# Writes database and files to standard output as one tar archive. The dump waits on the volume: /tmp is memory.
waiting=/var/lib/odoo/.parcelle
rm -rf "$$waiting"
mkdir -p "$$waiting" /var/lib/odoo/filestore/odoo
trap 'rm -rf "$$waiting"' EXIT
PGPASSWORD=$$(sed -n 's/^db_password = //p' "$$ODOO_RC") \
    pg_dump --host=db --username=odoo --format=custom --file="$$waiting/database.dump" odoo
tar --create --directory="$$waiting" database.dump --directory=/var/lib/odoo filestore/odoo
