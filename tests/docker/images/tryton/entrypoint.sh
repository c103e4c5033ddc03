#!/bin/sh
# The database's address from DB_HOSTNAME, DB_PORT, DB_USER and DB_PASSWORD or DB_PASSWORD_FILE, unless it is given whole.
set -eu

# A password may hold what an address may not.
quoted() { python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1], safe=""))' "$1"; }

if [ -n "${DB_HOSTNAME:-}" ] && [ -z "${TRYTOND_DATABASE__URI:-}" ]; then
    password=${DB_PASSWORD:-}
    if [ -n "${DB_PASSWORD_FILE:-}" ]; then password=$(cat "$DB_PASSWORD_FILE"); fi
    password=$(quoted "$password")
    export TRYTOND_DATABASE__URI="postgresql://${DB_USER:-postgres}:$password@$DB_HOSTNAME:${DB_PORT:-5432}/"
fi
unset DB_PASSWORD
exec "$@"
