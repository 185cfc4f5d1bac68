"""Security groups by role: who reaches whom at which port, and nothing else. docs/deploy-aws.md has the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.components.aws.names import ANYWHERE, tags_of

GATEWAY_PORT: Final = 8080
BROKER_PORT: Final = 8081
EGRESS_PORT: Final = 3128
AGENT_PORT: Final = 8765
HTTPS: Final = 443


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupsArgs:
    """`front_ports`: of the load balancer. `outer_ports`: at which gateways reach the internet: 443 and what the
    model's API or a proxy has. `endpoints`: whether there are interface endpoints. `sandbox_internet`: whether
    sandboxes reach everything; `sandbox_proxy`: whether they ask gateways for the hosts that they may reach."""

    stack_id: str
    vpc_id: pulumi.Input[str]
    front_ports: Sequence[int]
    outer_ports: Sequence[int]
    endpoints: bool
    sandbox_internet: bool
    sandbox_proxy: bool


class Groups(pulumi.ComponentResource):
    """The ids of the groups. Their rules are made by `Groups` and by `images_from`."""

    alb: pulumi.Output[str]
    gateway: pulumi.Output[str]
    sandbox: pulumi.Output[str]
    endpoints: pulumi.Output[str] | None

    def __init__(self, name: str, args: GroupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Groups", name, None, opts)
        self._args = args
        self.alb = self._group("alb", "The load balancer, which the internet reaches")
        self.gateway = self._group("gateway", "Gateways, behind the load balancer")
        self.sandbox = self._group("sandbox", "Sandboxes, which only gateways reach")
        self.endpoints = (
            self._group("endpoints", "Interface endpoints of AWS services") if args.endpoints else None
        )
        for port in args.front_ports:
            self._in("alb", self.alb, f"internet-{port}", port, cidr=ANYWHERE)
        self._between("alb", self.alb, "gateway", self.gateway, GATEWAY_PORT)
        self._between("gateway", self.gateway, "sandbox", self.sandbox, AGENT_PORT)
        self._between("sandbox", self.sandbox, "gateway", self.gateway, BROKER_PORT)
        if args.sandbox_proxy:
            self._between("sandbox", self.sandbox, "gateway", self.gateway, EGRESS_PORT, what="-egress")
        for port in args.outer_ports:
            self._out("gateway", self.gateway, f"internet-{port}", port, cidr=ANYWHERE)
        if self.endpoints is not None:
            self._between("gateway", self.gateway, "endpoints", self.endpoints, HTTPS)
            self._between("sandbox", self.sandbox, "endpoints", self.endpoints, HTTPS)
        if args.sandbox_internet:
            self._out("sandbox", self.sandbox, "internet", None, cidr=ANYWHERE)
        self.register_outputs({})

    def images_from(self, s3: pulumi.Input[str], vpc_cidr: pulumi.Input[str] | None) -> None:
        """What a sandbox without the internet needs to be started: the layers of its image, from S3, whose prefix list
        this is; in an existing network (`vpc_cidr`) also the endpoints that it has."""
        self._out("sandbox", self.sandbox, "s3", HTTPS, prefix_list=s3)
        if vpc_cidr is not None:
            self._out("sandbox", self.sandbox, "network", HTTPS, cidr=vpc_cidr)

    def _group(self, role: str, description: str) -> pulumi.Output[str]:
        stack_id = self._args.stack_id
        # Without rules of its own: the provider takes away the one that AWS gives every new group.
        return aws.ec2.SecurityGroup(
            f"{stack_id}-{role}",
            vpc_id=self._args.vpc_id,
            description=description,
            tags=tags_of(stack_id, role),
            opts=pulumi.ResourceOptions(parent=self),
        ).id

    def _between(
        self,
        source: str,
        source_id: pulumi.Output[str],
        to: str,
        to_id: pulumi.Output[str],
        port: int,
        *,
        what: str = "",
    ) -> None:
        """`what`: ends the rules' names, where there are others between the two."""
        self._out(source, source_id, f"{to}{what}", port, group=to_id)
        self._in(to, to_id, f"{source}{what}", port, group=source_id)

    def _in(
        self,
        role: str,
        role_id: pulumi.Output[str],
        source: str,
        port: int,
        *,
        group: pulumi.Input[str] | None = None,
        cidr: str | None = None,
    ) -> None:
        stack_id = self._args.stack_id
        aws.vpc.SecurityGroupIngressRule(
            f"{stack_id}-{role}-from-{source}",
            security_group_id=role_id,
            referenced_security_group_id=group,
            cidr_ipv4=cidr,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=tags_of(stack_id, f"{role}-from-{source}"),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _out(
        self,
        role: str,
        role_id: pulumi.Output[str],
        to: str,
        port: int | None,
        *,
        group: pulumi.Input[str] | None = None,
        cidr: pulumi.Input[str] | None = None,
        prefix_list: pulumi.Input[str] | None = None,
    ) -> None:
        stack_id = self._args.stack_id
        aws.vpc.SecurityGroupEgressRule(
            f"{stack_id}-{role}-to-{to}",
            security_group_id=role_id,
            referenced_security_group_id=group,
            cidr_ipv4=cidr,
            prefix_list_id=prefix_list,
            ip_protocol="tcp" if port is not None else "-1",
            from_port=port,
            to_port=port,
            tags=tags_of(stack_id, f"{role}-to-{to}"),
            opts=pulumi.ResourceOptions(parent=self),
        )
