"""Whatever a value holds arrives in the container as it is: through our text, compose, the engine."""

from __future__ import annotations

import string
import time
from pathlib import Path

import docker
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.provisioning.compose.cli import Compose
from parcelle.domain.provisioning.compose.render import Rendered, render
from parcelle.domain.provisioning.compose.text import text_of
from parcelle.domain.provisioning.compose.values import filled, stray_dollar, words_of
from tests import needs
from tests.docker import subnets
from tests.docker.belongings import Belongings
from tests.domain.provisioning.compose import stacks

# What YAML, compose, shells and JSON give a meaning to; a NUL can be in no environment.
SPECIAL = (
    "$${}:#&*!|>'\"%@`,[]?-=~\\\n\r\t \x85\u2028\u2029\ufeff\x7f\x1b\x01é😀" + string.ascii_letters + string.digits
)
VALUES = st.one_of(
    st.text(alphabet=SPECIAL, max_size=40),
    st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=40),
    st.sampled_from(
        [
            "yes",
            "no",
            "on",
            "~",
            "null",
            "012",
            "1e3",
            "1_000",
            "22:22",
            "2020-01-01",
            ".inf",
            "<<",
            "=",
            "${HOME}",
            "$$",
            "a: b",
            "- a",
            "# a",
            "a # b",
            "!x",
            "&a",
            "*a",
            "|",
            ">",
            "'",
            '"',
            "{}",
            "[]",
            " a ",
            "a\n",
            "\n",
            "%a",
            "@a",
        ]
    ),
)
SLOW = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module", autouse=True)
def _compose() -> None:
    needs.require("docker")


def _through(model: dict[str, object]) -> dict[str, object]:
    found = Compose().config(Rendered(project="client-acme", text=text_of(model)))["services"]["web"]
    assert isinstance(found, dict)
    return found


@SLOW
@given(values=st.lists(VALUES, min_size=1, max_size=12))
def test_every_value_survives_compose(values: list[str]) -> None:
    web = {
        "image": "app:1",
        "environment": {f"V{i}": value for i, value in enumerate(values)},
        "command": values,
        "labels": {f"l{i}": value for i, value in enumerate(values)},
        "healthcheck": {"test": ["CMD", *values]},
    }
    found = _through({"services": {"web": web}})
    plain = [value.replace("$", "$$") for value in values]
    assert found["environment"] == {f"V{i}": value for i, value in enumerate(plain)}
    assert found["command"] == plain
    assert found["labels"] == {f"l{i}": value for i, value in enumerate(plain)}
    assert found["healthcheck"] == {"test": ["CMD", *plain]}


@SLOW
@given(values=st.lists(VALUES, min_size=4, max_size=4))
def test_every_value_of_a_variable_survives_rendering(values: list[str], tmp_path: Path) -> None:
    text = stacks.USUAL.replace('MOTTO: "a$$b"', 'A: "${a}", B: "x${b}y", C: "$$${c}", D: "$${d}", E: "${base64:${a}}"')
    made = stacks.blueprint(tmp_path, text, files={"app.conf": "${d}"})
    rendered = render(stacks.spec(made, variables=dict(zip("abcd", values, strict=True))))
    found = Compose().config(rendered)["services"]["web"]["environment"]
    a, b, c, d = values
    undoubled = {name: value.replace("$$", "$") for name, value in found.items()}
    assert (undoubled["A"], undoubled["B"], undoubled["C"], undoubled["D"]) == (a, f"x{b}y", f"${c}", "${d}")
    assert rendered.secret_files["web"]["/etc/app/app.conf"] == d.encode()


@SLOW
@given(
    text=st.one_of(
        st.text(alphabet="ab '\"-=/.$;|&\\\t", max_size=25),
        st.lists(st.sampled_from(["app", "'a b'", '"c d"', "--x=y", '"it\'s"', "''", 'e"f"g']), max_size=6).map(
            " ".join
        ),
    )
)
def test_a_command_in_one_text_has_the_words_that_compose_sees(text: str) -> None:
    words = words_of(text)
    if words is None or not words or "$" in text:
        return
    assert _through({"services": {"web": {"image": "a", "command": text}}})["command"] == list(words)


@given(text=st.text(alphabet="$a{}b.:", max_size=12))
def test_a_template_is_refused_or_leaves_nothing_for_compose(text: str) -> None:
    if stray_dollar(text):
        return

    class Everything(dict[str, str]):
        def __missing__(self, name: str) -> str:
            return ""

    try:
        left = filled(text, Everything())
    except BlueprintError:
        return
    # Every dollar that is left was written as two.
    assert left.count("$") == len(text.split("$$")) - 1


NASTY = [
    "plain", "${HOME}", "$HOME", "$$", "a$b$$c", 'quo"te', "apo'strophe", "back\\slash\\n", "line\nbreak\n", "\ttab",
    "a: b # c", "- x", "{x: y}", "yes", "012", "", " spaces ", "été 😀 \u2028 \x85 \ufeff end", "%!`~&*|>", "=x=",
]  # fmt: skip


def test_every_value_arrives_in_a_real_container(
    engine: docker.DockerClient, belongings: Belongings, web_image: str, tmp_path: Path
) -> None:
    environment = "".join(f'\n      V{i}: "${{v{i}}}"' for i in range(len(NASTY)))
    made = stacks.blueprint(
        tmp_path,
        f"""
services:
  web:
    image: {web_image}
    entrypoint:
      - sh
      - -c
      - 'cat /proc/self/environ; printf "%s\\0" "$$@"; echo; exec sleep 60'
      - sh
      - "${{v1}}"
      - "${{v8}}"
      - "$$${{v3}}"
    command: ["last"]
    environment:{environment}
    configs: [{{source: all, target: /etc/given/all, mode: "0400"}}]
    healthcheck: {{test: "true"}}
configs: {{all: {{content: "${{v8}}${{v17}}"}}}}
""",
        recipe={"service": "web", "port": 80},
    )
    ref = belongings.new_ref()
    spec = stacks.spec(
        made,
        ref=ref,
        name=f"test-bytes-{ref.hex[:8]}",
        variables={f"v{i}": value for i, value in enumerate(NASTY)},
        subnets={"back": subnets.take(), "front": subnets.take()},
    )
    compose = Compose()
    rendered = render(spec)
    compose.create(rendered, timeout=60)
    container = engine.containers.get(f"{spec.name}-web-1")
    # The file arrives through a container that is never started.
    (volume,) = rendered.file_volumes
    helper = engine.containers.create(
        web_image,
        entrypoint=["none"],
        labels=belongings.labels,
        mounts=[docker.types.Mount("/given", volume.name, no_copy=True)],
    )
    assert helper.put_archive("/", volume.archive("/given"))
    container.start()
    give_up = time.monotonic() + 20
    while not (told_all := container.logs(stdout=True, stderr=False)).endswith(b"\0last\0\n"):
        assert time.monotonic() < give_up, told_all
        time.sleep(0.1)
    *seen, _ = told_all.split(b"\0")
    told = dict(entry.split(b"=", 1) for entry in seen[:-4])
    assert [told[f"V{i}".encode()].decode() for i in range(len(NASTY))] == NASTY
    assert [word.decode() for word in seen[-4:]] == [NASTY[1], NASTY[8], "$" + NASTY[3], "last"]
    stream, _status = container.get_archive("/etc/given/all")
    assert (NASTY[8] + NASTY[17]).encode() in b"".join(stream)
    compose.down(spec.name, volumes=True, timeout=60)
