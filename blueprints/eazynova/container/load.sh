# Two dollar signs stand for one: this file is filled in on its way into the container.
# Reads from standard input what dump.sh wrote. Database and files are exchanged only once the archive is whole.
waiting=/var/lib/odoo/.parcelle
rm -rf "$$waiting"
mkdir -p "$$waiting"
trap 'rm -rf "$$waiting"' EXIT
tar --extract --directory="$$waiting"
test -s "$$waiting/database.dump"
test -d "$$waiting/filestore/odoo"
PGPASSWORD=$$(sed -n 's/^db_password = //p' "$$ODOO_RC") \
    pg_restore --host=db --username=odoo --dbname=odoo --clean --if-exists --no-owner --exit-on-error \
    --single-transaction "$$waiting/database.dump"
mkdir -p /var/lib/odoo/filestore
rm -rf /var/lib/odoo/filestore/odoo
mv "$$waiting/filestore/odoo" /var/lib/odoo/filestore/odoo
