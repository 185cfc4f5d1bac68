"""Secrets from files, as containers get them."""

from __future__ import annotations

import os
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


def secret_in(path: Path, content: str, mode: int = 0o400) -> Path:
    path.write_bytes(content.encode())
    path.chmod(mode)
    return path


def test_a_file_stands_for_the_variable_and_the_variable_for_itself(tmp_path: Path) -> None:
    file = secret_in(tmp_path / "one", "  from a file\r\n")
    told = {"VF_ONE_FILE": str(file), "VF_TWO": "as it is", "VF_TWO_FILE": " "}
    assert with_files(told, NAMES) == {**told, "VF_ONE": "from a file"}


def test_a_file_that_cannot_be_had_is_named_with_its_variable_and_its_content_is_not(tmp_path: Path) -> None:
    empty, long, binary = tmp_path / "empty", tmp_path / "long", tmp_path / "binary"
    for path, content in ((empty, b" \n"), (long, b"s" * (MAX_BYTES + 1)), (binary, b"sss\xff")):
        path.write_bytes(content)
        path.chmod(0o400)
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


@pytest.mark.parametrize("mode", [0o444, 0o604, 0o640 | 0o002, 0o460, 0o777, 0o401])
def test_a_file_that_others_may_read_or_change_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    file = secret_in(tmp_path / "one", "sss", mode)
    with pytest.raises(
        SecretFileError,
        match=rf"^VF_ONE_FILE names {file}, which others may .*\(mode {mode:04o}\): chmod 0400",
    ) as caught:
        with_files({"VF_ONE_FILE": str(file)}, NAMES)
    assert "sss" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o700])
def test_its_owner_and_a_group_may_read_it(tmp_path: Path, mode: int) -> None:
    file = secret_in(tmp_path / "one", "sss", mode)
    assert with_files({"VF_ONE_FILE": str(file)}, NAMES)["VF_ONE"] == "sss"


def test_what_is_no_regular_file_has_no_permissions_to_look_at() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"from a pipe\n")
        os.close(writing)
        assert with_files({"VF_ONE_FILE": f"/dev/fd/{reading}"}, NAMES)["VF_ONE"] == "from a pipe"
    finally:
        os.close(reading)


def test_both_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match=r"^VF_ONE and VF_ONE_FILE are both set"):
        with_files({"VF_ONE_FILE": str(tmp_path), "VF_ONE": "x"}, NAMES)


def test_every_secret_of_the_gateway_may_be_a_file(tmp_path: Path) -> None:
    environ = dict(GOOD)
    for name in SECRETS:
        secret_in(tmp_path / name, environ.pop(name, "") or "m" * 40)
        environ[f"{name}_FILE"] = str(tmp_path / name)
    settings = read_settings(environ)
    for name in SECRETS:
        assert getattr(settings, name.removeprefix("VF_").lower()) == (tmp_path / name).read_text()
    with pytest.raises(ConfigError, match=r"^VF_JWT_SECRET_FILE names /nowhere"):
        read_settings({**environ, "VF_JWT_SECRET_FILE": "/nowhere"})


def test_every_secret_of_the_launcher_may_be_a_file(tmp_path: Path) -> None:
    environ = dict(LAUNCHER)
    for name in LAUNCHER_SECRETS:
        secret_in(tmp_path / name, environ.pop(name, "a" * 40))
        environ[f"{name}_FILE"] = str(tmp_path / name)
    assert read_launcher_settings(environ) == read_launcher_settings(
        {**LAUNCHER, "VF_LAUNCHER_SECRET_ACCEPTED": "a" * 40}
    )
    with pytest.raises(ConfigError, match=r"^VF_LAUNCHER_SECRET_FILE names /nowhere"):
        read_launcher_settings({**environ, "VF_LAUNCHER_SECRET_FILE": "/nowhere"})


def test_the_development_mode_takes_a_file_in_place_of_what_it_would_make(tmp_path: Path) -> None:
    file = secret_in(tmp_path / "own", "f" * 40)
    settings = dev_settings({"VF_JWT_SECRET_FILE": str(file)}, tmp_path, port=9000, agent="demo")
    assert settings.jwt_secret == "f" * 40
