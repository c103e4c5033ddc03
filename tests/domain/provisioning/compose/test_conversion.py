"""From a vendor's own compose file to a blueprint that passes every check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from parcelle.domain.provisioning.compose.checking import check
from parcelle.domain.provisioning.compose.conversion import CannotConvert, Converted, convert
from tests.domain.provisioning.compose import stacks

# As vendors write them: everything that an instance may not have is in here somewhere.
VENDOR = """
version: "3.8"
x-common: &common
  restart: always
  logging: {driver: syslog}
services:
  web:
    <<: *common
    build: .
    container_name: shop_web
    ports: ["8000:8000", "9000:9000"]
    env_file: .env
    environment:
      - DATABASE_URL=postgres://shop:hunter22@db:5432/shop
      - SECRET_KEY=${SECRET_KEY}
      - BASE_URL=${BASE_URL}
      - DEBUG=${DEBUG:-0}
      - PRICE=5$$
    command: sh start.sh && gunicorn
    volumes:
      - ./uploads:/app/uploads
      - ./app.ini:/app/conf/app.ini:ro
      - /var/run/docker.sock:/var/run/docker.sock
      - /cache
    depends_on: [db, redis]
    networks: [inner]
    labels: {traefik.enable: "true"}
  worker:
    <<: *common
    image: registry.example.com/shop:1
    command: celery worker
    volumes: [./uploads:/app/uploads]
    depends_on: [redis]
  db:
    image: postgres:16
    environment:
      POSTGRES_USER: shop
      POSTGRES_PASSWORD: hunter22
    volumes: [pg:/var/lib/postgresql/data]
    privileged: true
  redis:
    image: redis:7-alpine
    sysctls: {net.core.somaxconn: 1024}
    deploy: {replicas: 2}
volumes:
  pg: {driver: local, name: shop_pg}
networks: {inner: {}}
"""


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    folder = tmp_path / "vendor"
    folder.mkdir()
    (folder / ".env").write_text("MAIL_HOST=smtp.example.com\nMAIL_PASSWORD='abc def'\n# comment\n")
    (folder / "app.ini").write_text("[app]\nprice = 5$\npassword = hunter22\n")
    (folder / "docker-compose.yml").write_text(stacks.dedent(VENDOR))
    return folder / "docker-compose.yml"


def _written(made: Converted, folder: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    shop = folder / "shop"
    shop.mkdir()
    for name, content in made.files.items():
        (shop / name).write_text(content)
    return shop, yaml.safe_load(made.files["blueprint.yaml"]), yaml.safe_load(made.files["compose.yaml"])


def test_the_result_passes_every_check(vendor: Path, tmp_path: Path) -> None:
    folder, blueprint, _compose = _written(convert(vendor, name="shop"), tmp_path)
    found = check(folder)
    assert [str(problem) for problem in found.problems if not problem.is_warning] == []
    assert blueprint["compose"]["service"] == "web" and blueprint["compose"]["port"] == 8000
    assert set(blueprint["compose"]["limits"]) == {"web", "worker", "db", "redis"}
    assert blueprint["compose"]["dump"]["service"] == "db"


def test_a_password_that_stands_in_the_file_becomes_one_of_every_instance(vendor: Path, tmp_path: Path) -> None:
    made = convert(vendor, name="shop")
    _folder, blueprint, compose = _written(made, tmp_path)
    assert not any("hunter22" in content for content in made.files.values())
    web = compose["services"]["web"]["environment"]
    assert web["DATABASE_URL"] == "postgres://shop:${postgres_password}@db:5432/shop"
    assert compose["services"]["db"]["environment"]["POSTGRES_PASSWORD"] == "${postgres_password}"
    assert web["SECRET_KEY"] == "${secret_key}"
    assert set(blueprint["secrets"]) == {"secret_key", "initial_password", "postgres_password"}
    assert made.files["app.ini"] == "[app]\nprice = 5$$\npassword = ${postgres_password}\n"
    # What opens something outside is the same for all.
    assert web["MAIL_PASSWORD"] == "abc def" and web["MAIL_HOST"] == "smtp.example.com"


def test_a_plain_word_is_a_password_only_where_one_stands(vendor: Path, tmp_path: Path) -> None:
    vendor.write_text(
        stacks.dedent(
            """
            services:
              db:
                image: postgres:17
                environment: {POSTGRES_USER: postgres, POSTGRES_PASSWORD: postgres, POSTGRES_DB: postgres}
              app:
                image: app:1
                ports: ["80"]
                environment:
                  DSN: "host=db user=postgres password=postgres dbname=postgres"
                  URL: postgres://postgres:postgres@db/postgres
                  PGPASSWORD: postgres
                  TOKEN_AUTH: "true"
                  TOKEN_SECONDS: 3600
            """
        )
    )
    services = _written(convert(vendor, name="shop"), tmp_path)[2]["services"]
    assert services["db"]["image"] == "postgres:17"
    assert services["db"]["environment"] == {
        "POSTGRES_USER": "postgres",
        "POSTGRES_PASSWORD": "${postgres_password}",
        "POSTGRES_DB": "postgres",
    }
    assert services["app"]["environment"] == {
        "DSN": "host=db user=postgres password=${postgres_password} dbname=postgres",
        "URL": "postgres://postgres:${postgres_password}@db/postgres",
        "PGPASSWORD": "${postgres_password}",
        "TOKEN_AUTH": "true",
        "TOKEN_SECONDS": "3600",
    }


def test_what_a_shell_would_have_given_is_written_out(vendor: Path, tmp_path: Path) -> None:
    web = _written(convert(vendor, name="shop"), tmp_path)[2]["services"]["web"]
    assert web["environment"]["DEBUG"] == "0"
    assert web["environment"]["BASE_URL"] == "${url}"
    assert web["environment"]["PRICE"] == "5$$"
    assert web["command"] == ["sh", "-c", "sh start.sh && gunicorn"]


def test_folders_become_volumes_and_stay_shared(vendor: Path, tmp_path: Path) -> None:
    compose = _written(convert(vendor, name="shop"), tmp_path)[2]
    mounts = {name: of.get("volumes", []) for name, of in compose["services"].items()}
    assert mounts["worker"] == [{"type": "volume", "source": "uploads", "target": "/app/uploads"}]
    assert [mount["target"] for mount in mounts["web"]] == ["/app/uploads", "/cache"]
    assert mounts["web"][0]["source"] == "uploads"
    assert set(compose["volumes"]) == {"pg", "uploads", "web-cache"}


def test_every_change_is_told_with_its_line(vendor: Path) -> None:
    notes = convert(vendor, name="shop").notes
    lines = stacks.dedent(VENDOR).splitlines()
    for words, seen in [
        ("image is needed", "build: ."),
        ("container_name", "container_name"),
        ("host ports", "ports:"),
        ("logging", "logging:"),
        ("socket", "docker.sock"),
        ("POSTGRES_PASSWORD", "POSTGRES_PASSWORD"),
        ("privileged", "privileged"),
        ("sysctls", "sysctls"),
        ("replicas", "deploy:"),
        ("options of the volume", "pg:"),
        ("traefik", "labels:"),
    ]:
        (note, *_more) = [note for note in notes if words in note.sentence]
        assert seen in lines[note.line - 1], (note, lines[note.line - 1])
    assert [note.line == 0 for note in notes] == sorted(note.line == 0 for note in notes)


def test_a_health_check_is_there_for_what_lasts_and_not_for_what_ends(vendor: Path, tmp_path: Path) -> None:
    vendor.write_text(
        stacks.dedent(
            """
            services:
              app:
                image: app:1
                expose: [3000]
                depends_on: {setup: {condition: service_completed_successfully}}
              setup: {image: "app:1", command: setup, restart: "no"}
            """
        )
    )
    _folder, blueprint, compose = _written(convert(vendor, name="shop"), tmp_path)
    assert "3000" in compose["services"]["app"]["healthcheck"]["test"][1]
    assert "healthcheck" not in compose["services"]["setup"]
    assert blueprint["compose"]["port"] == 3000
    assert check(tmp_path / "shop").is_sound


def test_our_own_stack_needs_no_change_but_its_ports(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(
        stacks.dedent(
            stacks.USUAL.replace("image: app:1\n    environment", "image: app:1\n    ports: ['80:80']\n    environment")
        ).replace('    configs: [{source: app.conf, target: /etc/app/app.conf, uid: "1000", mode: "0400"}]\n', "")
    )
    made = convert(path, name="shop")
    folder, *_ = _written(made, tmp_path)
    assert check(folder).is_sound
    assert not any("removed: remove" in note.sentence for note in made.notes)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("services: [", {}, ":1: this is not valid YAML"),
        ("{}", {}, "no services"),
        ("services: {web: nothing}", {}, "no services"),
        ("services: {web: {extends: {file: x}}}", {}, "docker compose config"),
        ("include: [x]\nservices: {web: {image: a}}", {}, "docker compose config"),
        ("services: {a: {image: a}, b: {image: b}}", {}, "--service"),
        ("services: {a: {image: a}}", {}, "--port"),
        ("services: {a: {image: a, ports: ['80:80']}}", {"service": "b"}, "choose one of a"),
    ],
)
def test_what_cannot_be_used_is_said_with_what_to_do(
    tmp_path: Path, text: str, options: dict[str, Any], words: str
) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(text)
    with pytest.raises(CannotConvert, match=words):
        convert(path, name="shop", **options)
    with pytest.raises(CannotConvert, match="cannot be read"):
        convert(tmp_path / "nothing.yaml", name="shop")
