"""Secrets from files, as containers get them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import SECRETS, ConfigError, read_settings
from gateway.dev import dev_settings
from gateway.launcher.settings import SECRETS as LAUNCHER_SECRETS
from gateway.launcher.settings import read_launcher_settings
from gateway.secretfiles import MAX_BYTES, SecretFileError, with_files
from tests.gateway.launcher.test_launcher import ENVIRON as LAUNCHER
from tests.gateway.test_config import GOOD

NAMES = ("VF_ONE", "VF_TWO")


def test_a_file_stands_for_the_variable_and_the_variable_for_itself(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text("  from a file\n")
    told = {"VF_ONE_FILE": str(file), "VF_TWO": "as it is", "VF_TWO_FILE": " "}
    assert with_files(told, NAMES) == {**told, "VF_ONE": "from a file"}


def test_a_file_that_cannot_be_had_is_named_with_its_variable_and_its_content_is_not(tmp_path: Path) -> None:
    empty, long, binary = tmp_path / "empty", tmp_path / "long", tmp_path / "binary"
    empty.write_text(" \n")
    long.write_text("s" * (MAX_BYTES + 1))
    binary.write_bytes(b"sss\xff")
    cases = {
        tmp_path / "none": "cannot be read: No such file",
        tmp_path: "cannot be read: Is a directory",
        empty: "is empty",
        long: f"longer than {MAX_BYTES} bytes",
        binary: "no UTF-8",
    }
    for path, reason in cases.items():
        with pytest.raises(SecretFileError, match=rf"^VF_ONE_FILE names {path}, which .*{reason}") as caught:
            with_files({"VF_ONE_FILE": str(path)}, NAMES)
        assert "sss" not in str(caught.value)


def test_both_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match=r"^VF_ONE and VF_ONE_FILE are both set"):
        with_files({"VF_ONE_FILE": str(tmp_path), "VF_ONE": "x"}, NAMES)


def test_every_secret_of_the_gateway_may_be_a_file(tmp_path: Path) -> None:
    environ = dict(GOOD)
    for name in SECRETS:
        (tmp_path / name).write_text(environ.pop(name, "") or "m" * 40)
        environ[f"{name}_FILE"] = str(tmp_path / name)
    settings = read_settings(environ)
    for name in SECRETS:
        assert getattr(settings, name.removeprefix("VF_").lower()) == (tmp_path / name).read_text()
    with pytest.raises(ConfigError, match=r"^VF_JWT_SECRET_FILE names /nowhere"):
        read_settings({**environ, "VF_JWT_SECRET_FILE": "/nowhere"})


def test_every_secret_of_the_launcher_may_be_a_file(tmp_path: Path) -> None:
    environ = dict(LAUNCHER)
    for name in LAUNCHER_SECRETS:
        (tmp_path / name).write_text(environ.pop(name, "a" * 40))
        environ[f"{name}_FILE"] = str(tmp_path / name)
    assert read_launcher_settings(environ) == read_launcher_settings(
        {**LAUNCHER, "VF_LAUNCHER_SECRET_ACCEPTED": "a" * 40}
    )
    with pytest.raises(ConfigError, match=r"^VF_LAUNCHER_SECRET_FILE names /nowhere"):
        read_launcher_settings({**environ, "VF_LAUNCHER_SECRET_FILE": "/nowhere"})


def test_the_development_mode_takes_a_file_in_place_of_what_it_would_make(tmp_path: Path) -> None:
    file = tmp_path / "own"
    file.write_text("f" * 40)
    settings = dev_settings({"VF_JWT_SECRET_FILE": str(file)}, tmp_path, port=9000, agent="demo")
    assert settings.jwt_secret == "f" * 40
