#!/usr/bin/env bash
# Starts PostgreSQL; makes the cluster first when PGDATA is empty, as the public image's documentation promises:
# POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, POSTGRES_INITDB_ARGS (each also as …_FILE), POSTGRES_INITDB_WALDIR,
# POSTGRES_HOST_AUTH_METHOD, PGDATA, and the files of /docker-entrypoint-initdb.d in the order of their names.
set -euo pipefail

fail() {
    echo "docker-entrypoint: $*" >&2
    exit 1
}

# Sets the variable $1 from itself, from the file that $1_FILE names, or to $2.
from_file() {
    local file="$1_FILE" value="${2:-}"
    if [ -n "${!1:-}" ] && [ -n "${!file:-}" ]; then fail "both $1 and $file are set"; fi
    if [ -n "${!1:-}" ]; then
        value=${!1}
    elif [ -n "${!file:-}" ]; then
        [ -r "${!file}" ] || fail "$file cannot be read"
        value=$(<"${!file}")
    fi
    export "$1=$value"
    unset "$file"
}

prepare_folders() {
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    chmod 2775 /var/run/postgresql
    if [ "$(id -u)" -eq 0 ]; then
        find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres:postgres {} +
    fi
}

check_settings() {
    if [ -n "$POSTGRES_PASSWORD" ] || [ "$POSTGRES_HOST_AUTH_METHOD" = trust ]; then return; fi
    fail "the database has no password: set POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE"
}

make_cluster() {
    local arguments=(--username="$POSTGRES_USER")
    if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then arguments+=(--waldir="$POSTGRES_INITDB_WALDIR"); fi
    # It holds several arguments.
    # shellcheck disable=SC2206
    arguments+=($POSTGRES_INITDB_ARGS)
    if [ -n "$POSTGRES_PASSWORD" ]; then
        initdb "${arguments[@]}" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD")
    else
        initdb "${arguments[@]}"
    fi
    printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"
}

ask() {
    PGHOST='' PGHOSTADDR='' psql --no-psqlrc --no-password --set ON_ERROR_STOP=1 \
        --username "$POSTGRES_USER" --dbname "${POSTGRES_DB_NOW:-$POSTGRES_DB}" "$@"
}

run_initial_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        echo "docker-entrypoint: $file"
        case $file in
            *.sh)
                if [ -x "$file" ]; then
                    "$file"
                else
                    # shellcheck disable=SC1090
                    . "$file"
                fi
                ;;
            *.sql) ask --file "$file" ;;
            *.sql.gz) gunzip --stdout "$file" | ask ;;
            *.sql.xz) xzcat "$file" | ask ;;
            *) echo "docker-entrypoint: ignoring $file" ;;
        esac
    done
}

# Nobody outside can connect before everything is there: the server that fills the cluster has no network.
fill_cluster() {
    unset NOTIFY_SOCKET
    pg_ctl --pgdata "$PGDATA" --wait --options "-c listen_addresses='' -p ${PGPORT:-5432} $*" start
    if [ "$POSTGRES_DB" != postgres ]; then
        POSTGRES_DB_NOW=postgres ask --set name="$POSTGRES_DB" <<<'CREATE DATABASE :"name";'
    fi
    run_initial_files
    pg_ctl --pgdata "$PGDATA" --mode fast --wait stop
    echo "docker-entrypoint: the cluster is ready"
}

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi

if [ "$1" = postgres ]; then
    prepare_folders
    if [ "$(id -u)" -eq 0 ]; then
        exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        from_file POSTGRES_PASSWORD
        from_file POSTGRES_USER postgres
        from_file POSTGRES_DB "$POSTGRES_USER"
        from_file POSTGRES_INITDB_ARGS
        : "${POSTGRES_HOST_AUTH_METHOD:=scram-sha-256}"
        check_settings
        make_cluster
        fill_cluster "${@:2}"
        unset POSTGRES_PASSWORD
    fi
fi
exec "$@"
