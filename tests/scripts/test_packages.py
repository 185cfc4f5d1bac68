"""Python's packages: what a command needs and no more, by uv or pip, whatever a set-up before has left."""

from __future__ import annotations

import os
import signal

from tests.scripts.shell import Clone, wait_for

UV = """
case "$*" in
  venv*) for venv; do :; done; mkdir -p "$venv/bin"; cp "$FAKES/of-venv" "$venv/bin/python" ;;
esac
"""
"""Stands for uv: makes an environment with the fake Python `of-venv`, and installs nothing."""

PYTHON = """
case "$*" in
  "-m pip install --target"*) cp "$FAKES/of-pip" "$5/uv"; mkdir "$5/bin"; mv "$5/uv" "$5/bin/uv" ;;
  "-m venv"*) for venv; do :; done; mkdir -p "$venv/bin"; cp "$FAKES/of-venv" "$venv/bin/python" ;;
esac
"""
"""Stands for Python with pip: brings the fake `of-pip` as uv, and installs nothing."""

NO_PYPI = 'case "$*" in "-m pip install --target"*) echo "no route" >&2; exit 1 ;; esac\n'


def installed(clone: Clone, name: str) -> list[str]:
    """What a fake was asked to install: `install` or `sync`, whether `again`, and the lock."""
    found = []
    for line in clone.asked(name):
        words = line.removeprefix("-m ").split()
        if words[0] == "pip" and words[1] in {"install", "sync"} and "--target" not in words:
            again = ["again"] if {"--reinstall", "--force-reinstall"}.intersection(words) else []
            found.append(" ".join([words[1], *again, os.path.relpath(words[-1], clone.folder)]))
    return found


def with_uv(clone: Clone, script: str = UV) -> Clone:
    clone.fake("of-venv", "")
    clone.fake("uv", script)
    return clone


def without_uv(clone: Clone, python: str = PYTHON) -> Clone:
    clone.fake("of-venv", "")
    clone.fake("of-pip", UV)
    clone.fake("python3", python)
    return clone


def test_a_deployment_installs_what_it_needs_and_tests_the_rest(clone: Clone) -> None:
    with_uv(clone)
    assert clone.setup("infra").returncode == 0
    assert installed(clone, "uv") == ["install infra/requirements.txt"]
    assert clone.setup("python").returncode == 0
    assert installed(clone, "uv")[1:] == ["sync requirements.txt"]
    # That has all that a deployment needs, and is as it should be.
    assert clone.setup("infra", "python").returncode == 0
    assert len(installed(clone, "uv")) == 2


def test_an_environment_whose_python_the_system_has_replaced_is_made_anew(clone: Clone) -> None:
    with_uv(clone)
    clone.fake("of-venv", '[ "$1" != -Ic ] || [ ! -e "$FAKES/replaced" ]')
    assert clone.setup("infra").returncode == 0
    (clone.folder / "fakes" / "replaced").touch()
    done = clone.setup("infra")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in clone.asked("uv")] == ["venv", "pip", "venv", "pip"]


def test_settings_of_another_project_are_not_read(clone: Clone) -> None:
    with_uv(clone, UV + 'pwd >>"$FAKES/where"')
    script = 'mkdir "$HOME/other"; cd "$HOME/other"; "$VF_ROOT/scripts/setup" infra'
    done = clone.shell(script)
    assert done.returncode == 0, done.stderr
    assert set((clone.folder / "fakes" / "where").read_text().split()) == {str(clone.folder)}


def test_a_changed_lock_is_followed_and_a_deployment_takes_nothing_away(clone: Clone) -> None:
    with_uv(clone).setup("python")
    (clone.folder / "requirements.txt").write_text("infra-thing==2\ntests-thing==1\n")
    (clone.folder / "infra" / "requirements.txt").write_text("infra-thing==2\n")
    clone.setup("infra")
    clone.setup("python")
    wanted = ["sync requirements.txt", "install infra/requirements.txt", "sync requirements.txt"]
    assert installed(clone, "uv") == wanted


def test_uv_is_brought_where_it_lacks_and_once_for_all_clones(clone: Clone) -> None:
    without_uv(clone)
    done = clone.setup("infra")
    assert done.returncode == 0, done.stderr
    assert installed(clone, "of-pip") == ["install infra/requirements.txt"]
    fetches = [line for line in clone.asked("python3") if "--target" in line]
    assert len(fetches) == 1
    assert "--require-hashes" in fetches[0]
    assert fetches[0].endswith("scripts/lib/uv-requirements.txt")
    clone.setup("python")
    assert installed(clone, "of-pip")[1:] == ["sync requirements.txt"]
    assert [line for line in clone.asked("python3") if "--target" in line] == fetches


def test_pip_does_it_where_uv_cannot_be_had(clone: Clone) -> None:
    done = without_uv(clone, NO_PYPI + PYTHON).setup("infra")
    assert done.returncode == 0, done.stderr
    assert "no uv (no route); pip does the same" in done.stderr
    assert installed(clone, "of-venv") == ["install infra/requirements.txt"]


def test_pip_does_it_where_uv_fails(clone: Clone) -> None:
    without_uv(clone)
    clone.fake("uv", UV + 'case "$*" in pip*) echo "no such index" >&2; exit 2 ;; esac')
    done = clone.setup("infra")
    assert done.returncode == 0, done.stderr
    assert "no such index; pip does the same" in done.stderr
    assert installed(clone, "of-venv") == ["install infra/requirements.txt"]
    assert clone.setup("infra").returncode == 0
    assert len(installed(clone, "of-venv")) == 1


def test_what_neither_can_install_is_no_environment(clone: Clone) -> None:
    without_uv(clone)
    clone.fake("of-venv", 'case "$*" in *install*) echo "hashes differ" >&2; exit 1 ;; esac')
    clone.fake("uv", UV + 'case "$*" in pip*) exit 2 ;; esac')
    done = clone.setup("infra")
    assert done.returncode == 1
    assert "hashes differ" in done.stderr
    assert "error: the packages of infra/requirements.txt could not be installed" in done.stderr
    with_uv(clone)
    assert clone.setup("infra").returncode == 0
    assert installed(clone, "uv")[-1] == "install again infra/requirements.txt"


def test_an_interrupted_installation_is_repaired_by_the_next(clone: Clone) -> None:
    """What it left looks complete to uv: each package is installed again."""
    with_uv(clone).setup("python")
    (clone.folder / "requirements.txt").write_text("infra-thing==2\ntests-thing==1\n")
    with_uv(clone, UV + 'case "$*" in pip*) echo $$ >"$FAKES/pid"; exec sleep 60 ;; esac')
    with clone.start("python") as setup:
        wait_for(clone.folder / "fakes" / "pid")
        setup.send_signal(signal.SIGTERM)
        setup.communicate(timeout=30)
    assert setup.returncode == 143
    assert clone.have_ended("pid")
    # Whichever lock comes next: the one before it too, to which the environment belonged.
    (clone.folder / "requirements.txt").write_text("infra-thing==1\ntests-thing==1\n")
    with_uv(clone).setup("python")
    assert installed(clone, "uv")[-1] == "sync again requirements.txt"
    clone.setup("python")
    assert len(installed(clone, "uv")) == 3


def test_two_at_once_install_once(clone: Clone) -> None:
    """Also with folders for state of their own, as two people's are; the second finds it done."""
    with_uv(clone, UV + 'case "$*" in pip*) echo >"$FAKES/began"; read -r _ <"$FAKES/go" ;; esac')
    os.mkfifo(clone.folder / "fakes" / "go")
    with clone.start("infra") as first:
        wait_for(clone.folder / "fakes" / "began")
        clone.environ["VF_STATE"] = str(clone.folder / "other-state")
        with clone.start("infra") as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "==> python: waiting for another set-up of this .venv\n"
            (clone.folder / "fakes" / "go").write_text("go\n")
            assert (first.wait(30), second.wait(30)) == (0, 0)
    assert installed(clone, "uv") == ["install infra/requirements.txt"]


def test_go_is_had_where_python_has_no_venv_yet(clone: Clone) -> None:
    clone.fake("id", "echo 0")
    clone.fake("apt-get", 'touch "$FAKES/has-venv"')
    clone.fake("of-venv", "")
    clone.fake("python3", 'case "$*" in *venv*) [ -e "$FAKES/has-venv" ] || exit 1 ;; esac\n' + PYTHON)
    done = clone.shell("pulumi_go", "pulumi")
    assert done.returncode == 0, done.stderr
    assert clone.asked("apt-get")[-1].endswith("install -y -q --no-install-recommends python3-venv")
    assert clone.asked("of-venv")[-1].startswith("-m pip install --quiet --require-hashes")
