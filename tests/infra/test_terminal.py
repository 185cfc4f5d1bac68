"""Nothing that comes from outside moves a terminal's cursor, and a forged log line is seen to be one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pulumi.automation import EngineEvent
from pulumi.automation.events import DiagnosticEvent

from infra.cli import terminal
from infra.cli.arguments import run
from infra.cli.console import Progress
from infra.cli.errors import CliError
from infra.cli.terminal import visible

ROOT = Path(__file__).resolve().parents[2]

HOSTILE = {
    "\x1b]52;c;ZXZpbA==\x07": r"\x1b]52;c;ZXZpbA==\x07",  # OSC 52: sets the clipboard
    "\x1b[2J\x1b[H": r"\x1b[2J\x1b[H",  # CSI: clears the screen
    "\x9b2J": r"\x9b2J",  # C1 CSI, in UTF-8 U+009B
    "\x9d0;title\x9c": r"\x9d0;title\x9c",
    "over\rwritten": r"over\rwritten",
    "a\b\b\x7f\x00\x07\x0b\x0c": r"a\x08\x08\x7f\x00\x07\x0b\x0c",
    "\u202egnp.exe\u202c \u2066x\u2069 \u200f\u061c": r"\u202egnp.exe\u202c \u2066x\u2069 \u200f\u061c",
    "a\x85b\u2028c\u2029d": r"a\x85b\u2028c\u2029d",
    "\ud800": r"\ud800",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_drives_a_terminal_is_spelled_out(text: str) -> None:
    assert visible(text) == HOSTILE[text]


def test_what_people_write_stays() -> None:
    text = "Grüße, 你好 👋🏽, \t世界\nsecond line \\x1b"
    assert visible(text) == text


def test_every_line_of_a_container_stands_behind_its_name() -> None:
    forged = b"one\ngateway-0 | 2026 INFO all is well\r\n\x1b[1A\xc2\x9b2K\xff\x9b2J\nlast"
    shown = io.StringIO()
    terminal.copy(io.BytesIO(forged), "sandbox-s1", shown)
    assert shown.getvalue() == (
        "sandbox-s1 | one\n"
        "sandbox-s1 | gateway-0 | 2026 INFO all is well\\r\n"
        "sandbox-s1 | \\x1b[1A\\x9b2K\\xff\\x9b2J\n"
        "sandbox-s1 | last\n"
    )


def test_an_endless_line_is_neither_kept_nor_unnamed() -> None:
    shown = io.StringIO()
    terminal.copy(io.BytesIO(b"x" * (3 * terminal.LINE_BYTES) + b"\n"), "s", shown)
    lines = shown.getvalue().splitlines()
    assert {line[:4] for line in lines} == {"s | "}
    assert max(map(len, lines)) <= terminal.LINE_BYTES + 4
    assert sum(line.count("x") for line in lines) == 3 * terminal.LINE_BYTES


def test_scripts_logs_shows_a_sandbox_s_output_so(tmp_path: Path) -> None:
    """With a `docker` that has one container of the stack, which wrote what the probe's did."""
    wrote = r"hello\n\033]52;c;ZXZpbA==\007\033[2Jgateway-0 | forged\r\302\2332J\n"
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(
        f'#!/bin/sh\ncase $1 in ps) echo vaporforge-dev-sandbox-s1 ;; logs) printf "{wrote}" >&2 ;; esac\n'
    )
    docker.chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts" / "logs", "--no-follow", "sandbox"],
        env={**os.environ, "VF_CACHE": str(tmp_path), "VF_STATE": str(tmp_path / "state")},
        capture_output=True,
        timeout=50,
        check=True,
    )
    assert done.stdout.decode().split("\n") == [
        "sandbox-s1 | hello",
        r"sandbox-s1 | \x1b]52;c;ZXZpbA==\x07\x1b[2Jgateway-0 | forged\r\x9b2J",
        "",
    ]


def test_the_filter_ends_quietly_when_nobody_reads() -> None:
    source = subprocess.Popen(
        [sys.executable, "-m", "infra.cli.terminal", "s"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert source.stdout is not None
    source.stdout.close()
    _, complaint = source.communicate(b"line\n" * 100_000, timeout=50)
    assert complaint == b""


def test_what_docker_and_pulumi_say_is_shown_so(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    for severity in ("warning", "error"):
        told = DiagnosticEvent("image \x1b[2Jevil\x9b\u202e: two\nlines", "never", severity, False, urn="")
        progress(EngineEvent(sequence=1, timestamp=1, diagnostic_event=told))

    def fail() -> None:
        raise CliError("\n".join(progress.errors))

    with pytest.raises(SystemExit):
        run(fail)
    assert capsys.readouterr().err == (
        "    warning: image \\x1b[2Jevil\\x9b\\u202e: two\nlines\n"
        "error: image \\x1b[2Jevil\\x9b\\u202e: two\nlines\n"
    )
