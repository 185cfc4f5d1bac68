"""Rules of the `aws` target about names: networks, subnets, certificates, and the sizes of tasks that Fargate has."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from infra.config import Settings
from infra.rules import facts
from infra.rules.rule import AWS, Formed, Rule
from infra.rules.shape import listed
from infra.rules.terms import named


def _cidr(settings: Settings) -> str | None:
    said = f"{named('vpc_cidr')} is '{settings.vpc_cidr}'; it must be"
    try:
        network = ipaddress.ip_network(settings.vpc_cidr, strict=False)
    except ValueError:
        return f"{said} a network such as 10.42.0.0/16"
    if not facts.WIDEST_PREFIX <= network.prefixlen <= facts.NARROWEST_PREFIX:
        return (
            f"{said} a network of /16 to /24: AWS makes no larger ones, and a smaller one has no subnets that a load "
            "balancer takes"
        )
    if str(network) != settings.vpc_cidr:
        return f"{said} the beginning of its network, which is {network}"
    return None


def _existing(settings: Settings) -> str | None:
    names = ("vpc_id", "public_subnets", "private_subnets")
    given = [name for name in names if getattr(settings, name)]
    if not given:
        return None
    for name in names:
        if name not in given:
            return (
                f"{named(name)} is not set; with {' and '.join(named(one) for one in given)} it must be: an existing "
                "network is named whole, and nothing in it is changed"
            )
    public, private = listed(settings.public_subnets), listed(settings.private_subnets)
    if len(set(public)) < 2:
        return (
            f"{named('public_subnets')} names {len(set(public))}; it must name two or more, of two zones: a load "
            "balancer wants them"
        )
    if len(private) > facts.MOST_TASK_SUBNETS:
        return (
            f"{named('private_subnets')} names {len(private)}; it must name {facts.MOST_TASK_SUBNETS} at most: a "
            "task's network takes no more"
        )
    if both := set(public) & set(private):
        return (
            f"{named('private_subnets')} names {min(both)}, as {named('public_subnets')} does; each subnet must be of "
            "one kind"
        )
    return None


def _certificate(settings: Settings) -> str | None:
    zone, arn = settings.hosted_zone, settings.certificate_arn
    if zone and arn:
        return f"{named('certificate_arn')} is set; with {named('hosted_zone')} {zone} it must not be: that makes one"
    if zone and not settings.domain:
        return f"{named('domain')} is not set; with {named('hosted_zone')} {zone} it must be: the certificate is for it"
    return _of_region("certificate_arn", settings) or _of_region("alarm_topic", settings)


def _of_region(name: str, settings: Settings) -> str | None:
    arn = str(getattr(settings, name))
    if not arn or arn.split(":")[3] == settings.region:
        return None
    its = arn.split(":")[3]
    return f"{named(name)} is of {its}; with {named('region')} {settings.region} it must be of that region"


def _size(part: str) -> Callable[[Settings], str | None]:
    cpus_name, memory_name = f"{part}_cpus", f"{part}_memory_mb"

    def judge(settings: Settings) -> str | None:
        cpus, memory = getattr(settings, cpus_name), getattr(settings, memory_name)
        if cpus not in facts.FARGATE_SIZES:
            known = ", ".join(f"{one:g}" for one in facts.FARGATE_SIZES)
            return f"{named(cpus_name)} is {cpus:g}; on aws it must be one of {known}: Fargate has no other sizes"
        if fits(cpus, memory):
            return None
        others = [f"{one:g}" for one in facts.FARGATE_SIZES if fits(one, memory)]
        or_cpus = f". Or set {named(cpus_name)} to {' or '.join(others)}" if others else ""
        sizes = facts.FARGATE_SIZES[cpus]
        must = (
            "512, 1024 or 2048"
            if cpus == facts.NO_SIZE[0]
            else f"{sizes[0]} to {sizes[-1]} in steps of {sizes.step}"
        )
        return (
            f"{named(memory_name)} is {memory}; with {named(cpus_name)} {cpus:g} it must be {must}: Fargate has no "
            f"other sizes. The chain: {cpus:g} vCPU and {memory} MiB are no size of a task{or_cpus}"
        )

    return judge


def fits(cpus: float, memory_mb: int) -> bool:
    """Whether Fargate has tasks of this size."""
    return memory_mb in facts.FARGATE_SIZES.get(cpus, ()) and (cpus, memory_mb) != facts.NO_SIZE


RULES: Final[tuple[Rule, ...]] = (
    Formed(
        name="gateway-size",
        targets=AWS,
        told="`gatewayCpus` and `gatewayMemoryMb` are a size that Fargate has",
        why="ECS takes no other task definition; [sizes](#sizes-on-fargate)",
        judge=_size("gateway"),
    ),
    Formed(
        name="sandbox-size",
        targets=AWS,
        told="`sandboxCpus` and `sandboxMemoryMb` are a size that Fargate has",
        why="the same",
        judge=_size("sandbox"),
    ),
    Formed(
        name="cidr",
        targets=AWS,
        told="`vpcCidr` is a network of /16 to /24",
        why="AWS makes no larger ones, and an eighth of a smaller one is no subnet that a load balancer takes",
        judge=_cidr,
    ),
    Formed(
        name="existing",
        targets=AWS,
        told="`vpcId`, `publicSubnets` (two or more) and `privateSubnets` (16 at most, others) are set together",
        why="an existing network is named whole; a load balancer wants two zones, and a task takes no more subnets",
        judge=_existing,
    ),
    Formed(
        name="certificate",
        targets=AWS,
        told="`hostedZone` comes with `domain` and without `certificateArn`; `certificateArn` and `alarmTopic` are of "
        "`region`",
        why="a hosted zone makes a certificate for the domain; load balancers and alarms use what is in their region",
        judge=_certificate,
    ),
)
