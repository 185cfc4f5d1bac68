"""The network: a VPC of the stack's own over two or three zones, or an existing one by its ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.addresses import divided
from infra.components.aws.names import ANYWHERE, tags_of

WITHOUT_FARGATE: Final = ("apne1-az3", "usw1-az2")
"""Zones, by their ids, in which Fargate starts no Linux task (*ECS Developer Guide*, Supported Regions on AWS Fargate).
Which letter a zone has differs from account to account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcArgs:
    """`vpc_id`, `public_subnets`, `private_subnets`: an existing network; empty has one made with `cidr`, `zones` and
    `nat` (`none`, `one`, `zone`)."""

    stack_id: str
    vpc_id: str
    public_subnets: Sequence[str]
    private_subnets: Sequence[str]
    cidr: str
    zones: int
    nat: str


class Vpc(pulumi.ComponentResource):
    """`route_tables`: of the network that was made, else empty. `internet`: what the public subnets' way from and to
    the internet is made of, empty in a network that was there. `gateways_public`: whether gateways are in public
    subnets, as the private ones have no way out."""

    vpc_id: pulumi.Output[str]
    public_subnets: list[pulumi.Output[str]]
    private_subnets: list[pulumi.Output[str]]
    route_tables: list[pulumi.Output[str]]
    internet: list[pulumi.Resource]
    own: bool
    gateways_public: bool

    def __init__(self, name: str, args: VpcArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Vpc", name, None, opts)
        self._args = args
        self.own = not args.vpc_id
        self.gateways_public = self.own and args.nat == "none"
        self.route_tables, self.internet = [], []
        if self.own:
            self._make()
        else:
            self.vpc_id = pulumi.Output.from_input(args.vpc_id)
            self.public_subnets = [pulumi.Output.from_input(one) for one in args.public_subnets]
            self.private_subnets = [pulumi.Output.from_input(one) for one in args.private_subnets]
        self.register_outputs({"vpcId": self.vpc_id})

    @property
    def gateway_subnets(self) -> list[pulumi.Output[str]]:
        """Where gateways are."""
        return self.public_subnets if self.gateways_public else self.private_subnets

    def _child(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self)

    def _make(self) -> None:
        stack_id = self._args.stack_id
        vpc = aws.ec2.Vpc(
            f"{stack_id}-vpc",
            cidr_block=self._args.cidr,
            # Both for the private names of the broker and of the endpoints.
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=tags_of(stack_id, "vpc"),
            opts=self._child(),
        )
        self.vpc_id = vpc.id
        found = aws.get_availability_zones_output(
            state="available",
            exclude_zone_ids=list(WITHOUT_FARGATE),
            # Without local zones, which have neither load balancers nor Fargate everywhere.
            filters=[
                aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"])
            ],
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        zones = [found.names[number] for number in range(self._args.zones)]
        ranges = divided(self._args.cidr, self._args.zones)
        self.public_subnets = self._subnets("public", ranges.public, zones)
        self.private_subnets = self._subnets("private", ranges.private, zones)
        internet = aws.ec2.InternetGateway(
            f"{stack_id}-internet", vpc_id=vpc.id, tags=tags_of(stack_id, "internet"), opts=self._child()
        )
        way = self._table("public", self.public_subnets)
        out = aws.ec2.Route(
            f"{stack_id}-public-out",
            route_table_id=way.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=internet.id,
            opts=self._child(),
        )
        self.internet.append(out)
        self._private_ways(out)

    def _subnets(
        self, kind: str, ranges: Sequence[str], zones: Sequence[pulumi.Output[str]]
    ) -> list[pulumi.Output[str]]:
        stack_id = self._args.stack_id
        return [
            aws.ec2.Subnet(
                f"{stack_id}-{kind}-{number}",
                vpc_id=self.vpc_id,
                cidr_block=block,
                availability_zone=zone,
                map_public_ip_on_launch=False,
                tags=tags_of(stack_id, f"{kind}-{number}"),
                opts=self._child(),
            ).id
            for number, (block, zone) in enumerate(zip(ranges, zones, strict=True))
        ]

    def _table(self, name: str, subnets: Sequence[pulumi.Output[str]]) -> aws.ec2.RouteTable:
        stack_id = self._args.stack_id
        table = aws.ec2.RouteTable(
            f"{stack_id}-{name}", vpc_id=self.vpc_id, tags=tags_of(stack_id, name), opts=self._child()
        )
        self.route_tables.append(table.id)
        for number, subnet in enumerate(subnets):
            aws.ec2.RouteTableAssociation(
                f"{stack_id}-{name}-in-{number}",
                route_table_id=table.id,
                subnet_id=subnet,
                opts=self._child(),
            )
        return table

    def _private_ways(self, internet: pulumi.Resource) -> None:
        """A route table for each zone, so that `nat` can go from one to one in each zone without new subnets."""
        stack_id = self._args.stack_id
        count = {"none": 0, "one": 1, "zone": self._args.zones}[self._args.nat]
        nats = []
        for number in range(count):
            address = aws.ec2.Eip(
                f"{stack_id}-nat-{number}",
                domain="vpc",
                tags=tags_of(stack_id, f"nat-{number}"),
                opts=self._child(),
            )
            nats.append(
                aws.ec2.NatGateway(
                    f"{stack_id}-nat-{number}",
                    allocation_id=address.id,
                    subnet_id=self.public_subnets[number],
                    tags=tags_of(stack_id, f"nat-{number}"),
                    opts=pulumi.ResourceOptions(parent=self, depends_on=[internet]),
                )
            )
        for number, subnet in enumerate(self.private_subnets):
            table = self._table(f"private-{number}", [subnet])
            if nats:
                aws.ec2.Route(
                    f"{stack_id}-private-{number}-out",
                    route_table_id=table.id,
                    destination_cidr_block=ANYWHERE,
                    nat_gateway_id=nats[min(number, len(nats) - 1)].id,
                    opts=self._child(),
                )
