"""Where a stack is and how it is reached: network, security groups, certificate and load balancer."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.aws.network.alb import HTTP, Alb, AlbArgs
from infra.components.aws.network.certificate import Certificate, CertificateArgs
from infra.components.aws.network.endpoints import Endpoints, EndpointsArgs
from infra.components.aws.network.groups import HTTPS, Groups, GroupsArgs
from infra.components.aws.network.vpc import Vpc, VpcArgs
from infra.config import Settings
from infra.rules.shape import has_egress_proxy, has_tls, listed, services
from infra.targets.cloud.data import Data
from infra.targets.cloud.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Where the stack is and how it is reached; of a protected stack also while it is stopped."""

    vpc: Vpc
    groups: Groups
    endpoints: Endpoints | None
    alb: Alb

    @property
    def components(self) -> list[pulumi.Resource]:
        return [self.vpc, self.groups, self.alb, *([self.endpoints] if self.endpoints is not None else [])]


def make_front(place: Place, data: Data) -> Front:
    settings, stack_id = place.settings, place.stack_id
    vpc = Vpc(
        f"{stack_id}-network",
        VpcArgs(
            stack_id=stack_id,
            vpc_id=settings.vpc_id,
            public_subnets=listed(settings.public_subnets),
            private_subnets=listed(settings.private_subnets),
            cidr=settings.vpc_cidr,
            zones=settings.zones,
            nat=settings.nat,
        ),
        place.options,
    )
    called = services(settings)
    groups = Groups(
        f"{stack_id}-groups",
        GroupsArgs(
            stack_id=stack_id,
            vpc_id=vpc.vpc_id,
            front_ports=(HTTP, HTTPS) if has_tls(settings) else (HTTP,),
            outer_ports=_outer_ports(settings),
            endpoints=bool(called),
            sandbox_internet=settings.sandbox_internet,
            sandbox_proxy=has_egress_proxy(settings),
        ),
        place.options,
    )
    endpoints = _endpoints(place, data, vpc, groups, called)
    if not settings.sandbox_internet:
        if endpoints is not None:
            groups.images_from(endpoints.s3_prefix_list, None)
        else:
            invoke = pulumi.InvokeOutputOptions(parent=groups)
            s3 = aws.ec2.get_prefix_list_output(name=f"com.amazonaws.{settings.region}.s3", opts=invoke)
            network = aws.ec2.get_vpc_output(id=settings.vpc_id, opts=invoke)
            groups.images_from(s3.id, network.cidr_block)
    certificate: pulumi.Input[str] | None = settings.certificate_arn or None
    if settings.hosted_zone:
        certificate = Certificate(
            f"{stack_id}-certificate",
            CertificateArgs(stack_id=stack_id, domain=settings.domain, hosted_zone=settings.hosted_zone),
            place.options,
        ).arn
    alb = Alb(
        f"{stack_id}-alb",
        AlbArgs(
            stack_id=stack_id,
            vpc_id=vpc.vpc_id,
            subnets=vpc.public_subnets,
            internet=vpc.internet,
            group=groups.alb,
            certificate=certificate,
            domain=settings.domain,
            hosted_zone=settings.hosted_zone,
            idle_seconds=settings.alb_idle_seconds,
            protect=place.protect,
            running=settings.running,
        ),
        place.options,
    )
    return Front(vpc=vpc, groups=groups, endpoints=endpoints, alb=alb)


def _endpoints(
    place: Place, data: Data, vpc: Vpc, groups: Groups, called: tuple[str, ...]
) -> Endpoints | None:
    if not vpc.own:
        return None
    return Endpoints(
        f"{place.stack_id}-endpoints",
        EndpointsArgs(
            stack_id=place.stack_id,
            region=place.settings.region,
            account=place.account,
            vpc_id=vpc.vpc_id,
            route_tables=vpc.route_tables,
            subnets=vpc.private_subnets,
            services=called,
            group=groups.endpoints,
            bucket=data.bucket.arn,
            anything=place.settings.sandbox_internet,
        ),
        place.options,
    )


def _outer_ports(settings: Settings) -> tuple[int, ...]:
    ports = {HTTPS, HTTP} if has_egress_proxy(settings) else {HTTPS}
    for text in (settings.model_api_url, settings.http_proxy):
        url = urllib.parse.urlsplit(text)
        if url.hostname:
            ports.add(url.port or (HTTP if url.scheme == "http" else HTTPS))
    return tuple(sorted(ports))
