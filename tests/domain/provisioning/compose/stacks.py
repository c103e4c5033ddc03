"""Blueprints and specs for the tests of compose files, made on the spot."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parcelle.domain.catalog.blueprints import Blueprint
from parcelle.domain.provisioning.providers.base import Spec

REF = uuid.UUID("7f3a0000-0000-4000-8000-000000000001")
SUBNETS = {"front": "10.201.4.0/28", "back": "10.201.4.16/28"}

# Everything that is usual, and nothing that is wrong.
USUAL = """
services:
  db:
    image: postgres:17
    environment:
      POSTGRES_PASSWORD_FILE: /run/secrets/database_password
    secrets: [database_password]
    volumes: [data:/var/lib/postgresql/data]
    cap_add: [CHOWN, SETUID, SETGID, DAC_OVERRIDE, FOWNER]
    healthcheck: {test: pg_isready -U app, interval: 2s}
  migrate:
    image: app:1
    command: app migrate
    depends_on: {db: {condition: service_healthy}}
    restart: "no"
  web:
    image: app:1
    environment: {DATABASE_URL: "postgresql://app:${database_password}@db/app", MOTTO: "a$$b"}
    configs: [{source: app.conf, target: /etc/app/app.conf, uid: "1000", mode: "0400"}]
    healthcheck: {test: [CMD, app, health]}
    depends_on:
      db: {condition: service_healthy}
      migrate: {condition: service_completed_successfully}
volumes: {data: {}}
secrets: {database_password: {environment: database_password}}
"""
RECIPE: Mapping[str, Any] = {"service": "web", "port": 8080, "files": {"app.conf": "app.conf"}}


def dedent(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


def blueprint(
    folder: Path, text: str = USUAL, *, recipe: Mapping[str, Any] | None = None, files: Mapping[str, str] | None = None
) -> Blueprint:
    (folder / "compose.yaml").write_text(dedent(text))
    for name, content in (files or {"app.conf": "secret = ${secret_key}\n"}).items():
        (folder / name).write_text(content)
    return Blueprint.model_validate(
        {
            "name": "shop",
            "version": "1",
            "title": {"fr": "Boutique", "en": "Shop"},
            "compose": dict(RECIPE if recipe is None else recipe),
            "folder": folder,
        }
    )


def spec(made: Blueprint, **changes: Any) -> Spec:
    values: dict[str, Any] = {
        "ref": REF,
        "name": "client-acme",
        "blueprint": made,
        "variables": {"slug": "acme", "url": "http://acme.example.net"},
        "secrets": {"database_password": "S-database", "secret_key": "S-key", "initial_password": "S-initial"},
        "ports": {"application": 8081},
        "subnets": SUBNETS,
        **changes,
    }
    return Spec(**values)
