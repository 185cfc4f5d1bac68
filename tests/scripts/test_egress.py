"""`scripts/egress`: what a stack has learned, out of its gateways' logs, as YAML for the stack's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from tests.scripts.shell import Clone

DOCKER = """
case $1 in
  ps) printf '%s' "$GATEWAYS" ;;
  logs)
    echo "12:00:00 INFO gateway.egress.told egress learned: b.example.com"
    echo "12:00:01 INFO gateway.egress.told egress learned: a.example.com" >&2
    echo "12:00:01 INFO gateway.egress.told egress learned: c.example.com; rm -rf /"
    echo "12:00:02 INFO gateway.access GET /x" ;;
esac
"""

RUN = '"$0/../egress" --stack team --since 24h'


def test_hosts_are_listed_once_in_order_and_nothing_else_is(clone: Clone) -> None:
    clone.fake("docker", DOCKER)
    clone.environ["GATEWAYS"] = "gateway-0\ngateway-1\n"
    done = clone.shell(RUN)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout) == {
        "config": {"vaporforge:egressAllow": "a.example.com, b.example.com"}
    }
    first, *rest = clone.asked("docker")
    assert "label=vaporforge.stack=vaporforge-team" in first
    assert rest == ["logs --since 24h gateway-0", "logs --since 24h gateway-1"]


def test_a_stack_that_is_not_there_is_said(clone: Clone) -> None:
    clone.fake("docker", DOCKER)
    clone.environ["GATEWAYS"] = ""
    done = clone.shell(RUN)
    assert done.returncode == 1
    assert "the stack team has no gateway" in done.stderr
