"""Who reaches whom, computed from the security groups' rules, is what the table in the docs says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from infra.config import ROOT
from tests.infra.aws_programs import EXISTING, TLS, aws_program, role_of
from tests.infra.mocked import Program

PAGE = ROOT / "docs" / "deploy-aws.md"

Edge = tuple[str, str, str]
"""From, to, port."""


def documented(*when: str) -> set[Edge]:
    """The rows of the page's table that hold always, and those that hold with one of these settings."""
    text = PAGE.read_text(encoding="utf-8")
    [table] = re.findall(r"<!-- who reaches whom -->\n(.*?)<!-- end -->", text, re.DOTALL)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()][2:]
    assert {row[3] for row in rows} >= set(when)
    return {(row[0], row[1], row[2]) for row in rows if row[3] in {"always", *when}}


def ends(stack: Program, side: str) -> Iterator[Edge]:
    """Each rule as an edge, seen from one side."""
    groups = {f"{item.urn}": item for item in stack.of_type(":SecurityGroup")}
    ids = {_id(stack, urn): role_of(item) for urn, item in groups.items()}
    for rule in stack.of_type(f":SecurityGroup{side}Rule"):
        inputs = rule.inputs
        other = inputs.get("referencedSecurityGroupId")
        if other is not None:
            peer = ids[other]
        elif "prefixListId" in inputs:
            peer = "S3"
        else:
            peer = {"0.0.0.0/0": "internet"}.get(inputs["cidrIpv4"], "network")
        assert inputs.get("fromPort") == inputs.get("toPort")
        assert inputs["ipProtocol"] == ("tcp" if "fromPort" in inputs else "-1")
        port = f"{inputs['fromPort']:.0f}" if "fromPort" in inputs else "any"
        me = ids[inputs["securityGroupId"]]
        yield (me, peer, port) if side == "Egress" else (peer, me, port)


def _id(stack: Program, urn: str) -> str:
    from tests.infra.mocked_aws import aws_made

    item = stack.resources[urn]
    return aws_made(item.type, item.name, {})[0]


def graph(stack: Program) -> set[Edge]:
    """Where both ends are groups of the stack, one lets out what the other lets in."""
    out, into = set(ends(stack, "Egress")), set(ends(stack, "Ingress"))
    groups = {role_of(item) for item in stack.of_type(":SecurityGroup")}
    assert {edge for edge in out if edge[1] in groups} == {edge for edge in into if edge[0] in groups}
    return out | into


@pytest.mark.parametrize(
    ("config", "when"),
    [
        ({}, ["interface endpoints", "no sandboxInternet"]),
        (TLS, ["HTTPS", "interface endpoints", "no sandboxInternet"]),
        ({"sandboxInternet": "true"}, ["sandboxInternet"]),
        (
            {"sandboxInternet": "true", "interfaceEndpoints": "true"},
            ["sandboxInternet", "interface endpoints"],
        ),
        (EXISTING, ["no sandboxInternet", "no sandboxInternet, existing VPC"]),
        (
            {"egress": "registries"},
            ["interface endpoints", "no sandboxInternet", "egress registries or list"],
        ),
        (
            {**EXISTING, "egress": "list", "egressAllow": "git"},
            ["no sandboxInternet", "no sandboxInternet, existing VPC", "egress registries or list"],
        ),
        ({"egress": "all"}, ["sandboxInternet"]),
        ({**EXISTING, "sandboxInternet": "true"}, ["sandboxInternet"]),
    ],
)
def test_who_reaches_whom_is_what_the_page_says(config: dict[str, str], when: list[str]) -> None:
    assert graph(aws_program(**config)) == documented(*when)


def test_gateways_reach_what_the_settings_name_at_its_port() -> None:
    config = {"modelApiUrl": "http://model.example:8000/v1", "httpProxy": "http://proxy.example:3128"}
    ports = {edge[2] for edge in graph(aws_program(**config)) if edge[:2] == ("gateway", "internet")}
    assert ports == {"443", "3128", "8000"}


def test_a_group_has_no_rules_but_these() -> None:
    for group in aws_program().of_type(":SecurityGroup"):
        assert not group.inputs.keys() & {"ingress", "egress"}, group.name
