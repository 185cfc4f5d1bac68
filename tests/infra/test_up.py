"""Waiting for a deployed stack, and reading the command's options."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infra.cli import up
from infra.cli.errors import CliError
from infra.cli.stack import Deployment, Preview
from tests.conftest import free_port

READY = b'{"status": "ready", "instance": "ours"}'


@contextmanager
def answering(*statuses: int, ready: bytes = READY) -> Iterator[str]:
    """A server that answers with each status once, and with the last one from then on; where that is 200, `ready`."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status if self.path == "/api/ready" else 404)
            self.end_headers()
            self.wfile.write(b"not yet" if status != 200 else ready)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_it_waits_until_the_stack_is_ready() -> None:
    with answering(503, 503, 200) as url:
        up.wait_until_ready(url, "ours", 30)


def test_it_tells_the_last_answer_when_the_time_is_over() -> None:
    with answering(503) as url, pytest.raises(CliError, match="last: 503 not yet"):
        up.wait_until_ready(url, "ours", 0.5)


def test_it_tells_that_nothing_answers() -> None:
    with pytest.raises(CliError, match="refused"):
        up.wait_until_ready(f"http://127.0.0.1:{free_port()}", "ours", 0.3)


@pytest.mark.parametrize(
    "ready", [b"ready", b"[]", b'{"status": "ready"}', b'{"status": "ready", "instance": "theirs"}']
)
def test_another_program_at_the_address_is_given_no_token(
    ready: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {"version": "1", "instance": "ours", "jwtSecret": "s" * 32, "jwtAudience": "a"}
    with answering(200, ready=ready) as url:

        class Deployed:
            def create(self) -> None: ...

            def remember(self, *_: object) -> None: ...

            def up(self, *, running: bool) -> dict[str, str]:
                assert running
                return outputs | {"url": url}

        monkeypatch.setattr(Deployment, "of_machine", lambda *_, **__: Deployed())
        monkeypatch.setattr(up, "READY_SECONDS", 0.3)
        monkeypatch.setattr(sys, "argv", ["up"])
        with pytest.raises(CliError, match=f"at {url} another program answers, not this deployment"):
            up.main()
    assert "token" not in capsys.readouterr().out


def test_a_preview_takes_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["up", "--preview", "--secret", "modelApiKey"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-1\n"))
    with pytest.raises(CliError, match="--preview --secret modelApiKey: a preview remembers nothing"):
        up.main()


def test_a_preview_tells_what_it_costs_and_how_many_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Planned:
        def preview(self, values: dict[str, str | None]) -> Preview:
            assert values == {"port": "9000"}
            capacity = {
                "sessions": 2,
                "first": "a wall",
                "more": "less",
                "walls": {"a wall": 2},
                "told": "so",
            }
            return Preview(
                changes=3, outputs={"cost": {"region": "here", "told": "no figure"}, "capacity": capacity}
            )

    monkeypatch.setattr(Deployment, "of_machine", lambda *_, **__: Planned())
    monkeypatch.setattr(sys, "argv", ["up", "--preview", "--set", "port=9000"])
    up.main()
    shown = capsys.readouterr()
    assert shown.out.splitlines()[:2] == ["Cost: no figure", "Sessions with a sandbox at once: 2"]
    assert "changes: 3; nothing was done" in shown.err


def test_options_are_keys_of_the_project() -> None:
    assert up._values(["port=9000", "model=a=b", "agent="]) == {"port": "9000", "model": "a=b", "agent": None}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("ports=1", "it must be KEY=VALUE with a key of Pulumi.yaml"),
        ("port", "it must be KEY=VALUE"),
        ("modelApiKey=sk-1", "it is a secret; use --secret modelApiKey"),
        ("running=false", "scripts/down stops it"),
    ],
)
def test_a_bad_option_is_refused_without_showing_a_secret(given: str, told: str) -> None:
    with pytest.raises(CliError, match=told) as refused:
        up._values([given])
    assert "sk-1" not in str(refused.value)


def test_a_secret_is_what_stdin_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-1\n"))
    assert up.read_secrets(["modelApiKey"]) == {"modelApiKey": "sk-1"}


@pytest.mark.parametrize(
    ("keys", "given", "told"),
    [
        (["modelApiKey"], "\n", "--secret modelApiKey: nothing was given on stdin"),
        (["modelApiKey", "jwtSecret"], "a\nb\n", "--secret is given 2 times, and stdin is no terminal"),
        (["port"], "1", "--secret port: it must be one of"),
    ],
)
def test_a_secret_that_nobody_gave_is_refused(
    keys: list[str], given: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    with pytest.raises(CliError, match=told):
        up.read_secrets(keys)
