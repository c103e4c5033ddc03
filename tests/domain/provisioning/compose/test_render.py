"""One instance's complete compose file."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.provisioning.compose import labels
from parcelle.domain.provisioning.compose.render import (
    address_of,
    contents,
    normalised,
    render,
)
from tests import needs
from tests.domain.provisioning.compose import stacks


def model(folder: Path, text: str = stacks.USUAL, *, publish: str = "", **changes: Any) -> dict[str, Any]:
    rendered = render(stacks.spec(stacks.blueprint(folder, text), **changes), publish=publish)
    found: dict[str, Any] = yaml.safe_load(rendered.text)
    return found


def test_everything_carries_the_labels_of_the_instance(tmp_path: Path) -> None:
    found = model(tmp_path)
    parts = [*found["services"].values(), *found["networks"].values(), *found["volumes"].values()]
    assert len(parts) == 8
    for part in parts:
        assert part["labels"].items() >= {labels.INSTANCE: str(stacks.REF), labels.MANAGED: "1"}.items()
    assert found["name"] == "client-acme"


def test_every_service_is_hardened(tmp_path: Path) -> None:
    for service in model(tmp_path)["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert service["pids_limit"] == 200
        assert service["mem_limit"] == service["memswap_limit"] == 512 * 1024**2
        assert service["cpus"] == 1.0
        assert service["ulimits"] == {"nofile": {"soft": 4096, "hard": 8192}}
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
        assert service["init"] is True
        assert service["stop_grace_period"] == "30s"
        assert all("size=" in of for of in service["tmpfs"])
    services = model(tmp_path)["services"]
    assert services["db"]["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
    assert "cap_add" not in services["web"]
    assert [services[name]["restart"] for name in ("db", "migrate", "web")] == [
        "unless-stopped",
        "no",
        "unless-stopped",
    ]


def test_a_check_may_take_its_time_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    services = model(tmp_path)["services"]
    assert (services["db"]["healthcheck"]["interval"], services["web"]["healthcheck"]["interval"]) == ("2s", "5s")
    assert [services[name]["healthcheck"]["timeout"] for name in ("db", "web")] == ["30s", "30s"]


def test_only_the_web_service_is_on_front_at_a_fixed_address(tmp_path: Path) -> None:
    found = model(tmp_path)
    assert {name: sorted(of["networks"]) for name, of in found["services"].items()} == {
        "db": ["back"],
        "migrate": ["back"],
        "web": ["back", "front"],
    }
    assert found["services"]["web"]["networks"]["front"] == {"ipv4_address": "10.201.4.2"}
    assert address_of(stacks.spec(stacks.blueprint(tmp_path))) == "10.201.4.2"
    back, front = found["networks"]["back"], found["networks"]["front"]
    assert back["internal"] is True and front["internal"] is False
    assert front["ipam"] == {
        "config": [{"subnet": "10.201.4.0/28", "gateway": "10.201.4.1", "ip_range": "10.201.4.8/29"}]
    }
    assert back["ipam"]["config"][0] | {"ip_range": ""} == {
        "subnet": "10.201.4.16/28",
        "gateway": "10.201.4.17",
        "ip_range": "",
    }


def test_a_port_of_the_machine_is_used_only_when_asked_for(tmp_path: Path) -> None:
    assert not any("ports" in service for service in model(tmp_path)["services"].values())
    found = model(tmp_path, publish="192.0.2.7")["services"]
    assert found["web"]["ports"] == [
        {"mode": "ingress", "host_ip": "192.0.2.7", "target": 8080, "published": "8081", "protocol": "tcp"}
    ]
    assert "ports" not in found["db"]


def test_a_granted_port_is_bound_to_the_same_address(tmp_path: Path) -> None:
    text = stacks.USUAL.replace("image: postgres:17", "image: postgres:17\n    ports: ['${ports.database}:5432']")
    with pytest.raises(BlueprintError, match="no port is granted for 'database'"):
        model(tmp_path, text)
    found = model(tmp_path, text, ports={"application": 8081, "database": 5433})
    assert found["services"]["db"]["ports"][0] | {"mode": ""} == {
        "mode": "", "host_ip": "127.0.0.1", "target": 5432, "published": "5433", "protocol": "tcp",
    }  # fmt: skip


def test_placeholders_are_filled_in_and_dollars_stay(tmp_path: Path) -> None:
    found = model(tmp_path)["services"]["web"]["environment"]
    assert found == {"DATABASE_URL": "postgresql://app:S-database@db/app", "MOTTO": "a$$b"}


def test_what_a_customer_typed_changes_nothing_but_its_value(tmp_path: Path) -> None:
    text = stacks.USUAL.replace('MOTTO: "a$$b"', 'MOTTO: "${slug}"')
    nasty = '"}\nservices: {x: {privileged: true}} # ${secret_key} $HOME'
    found = model(tmp_path, text, variables={"slug": nasty})
    assert found["services"]["web"]["environment"]["MOTTO"] == nasty.replace("$", "$$")
    assert sorted(found["services"]) == ["db", "migrate", "web"]


def test_an_unknown_placeholder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BlueprintError, match=r"\$\{nobody\}"):
        model(tmp_path, stacks.USUAL.replace("a$$b", "${nobody}"))


def test_a_refused_file_is_not_rendered_and_every_reason_is_given(tmp_path: Path) -> None:
    text = stacks.USUAL.replace("image: app:1", "image: app:1\n    privileged: true")
    with pytest.raises(BlueprintError) as caught:
        model(tmp_path, text)
    assert str(caught.value).count("privileged") == 2
    assert "compose.yaml:12: services.migrate.privileged" in str(caught.value)


def test_an_image_is_pinned_to_its_digest(tmp_path: Path) -> None:
    pinned = "app@sha256:" + "0" * 64
    rendered = render(stacks.spec(stacks.blueprint(tmp_path)), images={"app:1": pinned})
    found = yaml.safe_load(rendered.text)["services"]
    assert [found[name]["image"] for name in ("db", "migrate", "web")] == ["postgres:17", pinned, pinned]
    assert {volume.image for volume in rendered.file_volumes} == {"postgres:17", pinned}


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    made = stacks.blueprint(tmp_path)
    first = render(stacks.spec(made))
    again = render(stacks.spec(made, secrets=dict(reversed([*stacks.spec(made).secrets.items()]))))
    assert first.text == again.text and first.file_volumes == again.file_volumes


def test_the_plan_limits_the_stack(tmp_path: Path) -> None:
    found = model(tmp_path, limits={"memory_mb": 600, "cpus": 1.0, "pids": 100})["services"]
    assert found["db"]["mem_limit"] + found["web"]["mem_limit"] == 600 * 1024**2
    assert found["db"]["cpus"] + found["web"]["cpus"] == 1.0
    assert found["db"]["pids_limit"] + found["web"]["pids_limit"] == 100


def test_an_author_may_loosen_what_is_theirs(tmp_path: Path) -> None:
    text = stacks.USUAL.replace(
        "image: postgres:17",
        "image: postgres:17\n    read_only: false\n    init: false\n    restart: on-failure:3\n"
        "    stop_grace_period: 2m\n    shm_size: 64m\n    networks: {default: {aliases: [database]}}",
    )
    found = model(tmp_path, text)["services"]["db"]
    assert found["read_only"] is False and found["init"] is False
    assert found["restart"] == "on-failure:3" and found["stop_grace_period"] == "2m"
    assert found["shm_size"] == 64 * 1024**2
    assert found["networks"] == {"back": {"aliases": ["database"]}}
    # A writable root needs no folders in memory.
    assert "tmpfs" not in found


# --- files --------------------------------------------------------------------------------------------------


def test_files_come_in_volumes_of_their_own_folder(tmp_path: Path) -> None:
    rendered = render(stacks.spec(stacks.blueprint(tmp_path)))
    assert [(of.name, of.service, of.folder) for of in rendered.file_volumes] == [
        ("client-acme_db-files", "db", "/run/secrets"),
        ("client-acme_web-files", "web", "/etc/app"),
    ]
    assert rendered.secret_files == {
        "db": {"/run/secrets/database_password": b"S-database"},
        "web": {"/etc/app/app.conf": b"secret = S-key\n"},
    }
    found = yaml.safe_load(rendered.text)
    assert found["services"]["web"]["volumes"] == [
        {"type": "volume", "source": "web-files", "target": "/etc/app", "read_only": True, "volume": {"nocopy": True}}
    ]
    assert set(found["volumes"]) == {"data", "db-files", "web-files"}
    # Not in the file, which an operator may read in Portainer.
    assert "S-key" not in rendered.text
    assert "S-database" not in repr(rendered)


def test_the_archive_keeps_owner_and_permissions(tmp_path: Path) -> None:
    (_db, web) = render(stacks.spec(stacks.blueprint(tmp_path))).file_volumes
    with tarfile.open(fileobj=io.BytesIO(web.archive("/from"))) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.uid, member.gid, member.mode) == ("from/app.conf", 1000, 0, 0o400)
        content = tar.extractfile(member)
        assert content and content.read() == b"secret = S-key\n"
    assert web.archive() == web.archive()


def test_a_service_whose_files_changed_is_replaced_and_no_other(tmp_path: Path) -> None:
    made = stacks.blueprint(tmp_path)
    one = yaml.safe_load(render(stacks.spec(made)).text)["services"]
    changed = {**stacks.spec(made).secrets, "secret_key": "another"}
    two = yaml.safe_load(render(stacks.spec(made, secrets=changed)).text)["services"]
    assert [name for name in one if one[name] != two[name]] == ["web"]
    assert one["web"]["labels"][labels.FILES] != two["web"]["labels"][labels.FILES]


def test_a_file_that_was_edited_is_read_again(tmp_path: Path) -> None:
    made = stacks.blueprint(tmp_path)
    spec = stacks.spec(made)
    render(spec)
    stacks.blueprint(tmp_path, files={"app.conf": "changed = ${secret_key}\n"})
    assert render(spec).secret_files["web"]["/etc/app/app.conf"] == b"changed = S-key\n"


def test_a_platform_with_secrets_of_its_own_gets_them_by_name(tmp_path: Path) -> None:
    spec = stacks.spec(stacks.blueprint(tmp_path))
    found = normalised(spec)
    assert found["services"]["db"]["secrets"] == [
        {
            "source": "database_password",
            "target": "/run/secrets/database_password",
            "uid": "0",
            "gid": "0",
            "mode": "0444",
        }
    ]
    assert found["services"]["web"]["configs"][0]["target"] == "/etc/app/app.conf"
    assert set(found["volumes"]) == {"data"}
    assert found["services"]["web"]["environment"]["MOTTO"] == "a$$b"
    assert contents(spec) == ({"database_password": "S-database"}, {"app.conf": "secret = S-key\n"})


# --- against what compose says of itself --------------------------------------------------------------------


def test_the_file_is_what_the_compose_specification_describes(tmp_path: Path) -> None:
    needs.require("specs")
    jsonschema = pytest.importorskip("jsonschema_rs")
    schema = json.loads((needs.specs() / "compose-spec.schema.json").read_text())
    validator = jsonschema.validator_for(schema)
    made = stacks.blueprint(tmp_path)
    for found in (
        yaml.safe_load(render(stacks.spec(made), publish="127.0.0.1").text),
        normalised(stacks.spec(made)),
    ):
        assert [error.message for error in validator.iter_errors(found)] == []
    # The validator does refuse something.
    assert list(validator.iter_errors({"services": {"web": {"nonsense": 1}}}))


def test_a_service_that_is_not_in_the_file_is_missed(tmp_path: Path) -> None:
    made = stacks.blueprint(tmp_path, recipe={**stacks.RECIPE, "service": "site"})
    with pytest.raises(BlueprintError, match="there is no service 'site'"):
        render(stacks.spec(made))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    made = stacks.blueprint(tmp_path)
    (tmp_path / "app.conf").unlink()
    with pytest.raises(BlueprintError, match=r"app\.conf"):
        render(stacks.spec(made))
    without = made.model_copy(update={"compose": None})
    with pytest.raises(BlueprintError, match="`compose` section"):
        render(dataclasses.replace(stacks.spec(made), blueprint=without))


def test_nothing_outside_the_folder_is_read(tmp_path: Path) -> None:
    made = stacks.blueprint(tmp_path, recipe={**stacks.RECIPE, "files": {"app.conf": "../../../../../etc/passwd"}})
    with pytest.raises(BlueprintError, match="outside the blueprint's folder"):
        render(stacks.spec(made))
    made = stacks.blueprint(tmp_path)
    (tmp_path / "app.conf").write_bytes(b"\xff\xfe")
    with pytest.raises(BlueprintError, match="UTF-8"):
        render(stacks.spec(made))
