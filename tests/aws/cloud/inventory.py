"""All that an account has of what a stack is made of, asked of the services one by one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

REGION: Final = "us-east-1"


class Inventory:
    """Of the account at AWS_ENDPOINT_URL."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}

    def there(self) -> set[str]:
        """Each as `kind name`."""
        return {f"{kind} {name}" for kind, names in _KINDS.items() for name in names(self)}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            session: Any = boto3.session.Session(region_name=REGION)
            self._clients[service] = session.client(service)
        return self._clients[service]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def kinds(there: Iterable[str]) -> Counter[str]:
    """How many of each kind."""
    longest_first = sorted(_KINDS, key=len, reverse=True)
    return Counter(next(kind for kind in longest_first if item.startswith(f"{kind} ")) for item in there)


def _listed(
    service: str, call: str, part: str, name: str, **asked: Any
) -> Callable[[Inventory], Iterator[str]]:
    def names(inventory: Inventory) -> Iterator[str]:
        for item in getattr(inventory.client(service), call)(**asked)[part]:
            if item.get("State") != "deleted":
                yield str(item[name])

    return names


def _keys(inventory: Inventory) -> Iterator[str]:
    kms = inventory.client("kms")
    for key in kms.list_keys()["Keys"]:
        if kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] != "PendingDeletion":
            yield key["KeyId"]


def _records(inventory: Inventory) -> Iterator[str]:
    """Of zones of people's own: Cloud Map's go with their namespace, which ministack forgets."""
    names = inventory.client("route53")
    namespaces = {"test.internal.", "prod.internal."}
    for zone in names.list_hosted_zones()["HostedZones"]:
        if zone["Name"] not in namespaces:
            for record in names.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]:
                yield f"{zone['Id']} {record['Name']} {record['Type']}"


def _of_each(
    outer: tuple[str, str, str, str], call: str, asked: str, part: str, name: str
) -> Callable[[Inventory], Iterator[str]]:
    """What each of what `outer` lists has."""

    def names(inventory: Inventory) -> Iterator[str]:
        for one in _listed(*outer)(inventory):
            for item in getattr(inventory.client(outer[0]), call)(**{asked: one})[part]:
                yield f"{one} {item if isinstance(item, str) else item[name]}"

    return names


_BALANCERS: Final = ("elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerArn")
_ROLES: Final = ("iam", "list_roles", "Roles", "RoleName")


def _strings(service: str, call: str, part: str) -> Callable[[Inventory], Iterator[str]]:
    return lambda inventory: iter(getattr(inventory.client(service), call)()[part])


_KINDS: Final[dict[str, Callable[[Inventory], Iterator[str]]]] = {
    "vpc": _listed("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    "subnet": _listed("ec2", "describe_subnets", "Subnets", "SubnetId"),
    "security group": _listed("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    "route table": _listed("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    "internet gateway": _listed("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "address": _listed("ec2", "describe_addresses", "Addresses", "AllocationId"),
    "nat gateway": _listed("ec2", "describe_nat_gateways", "NatGateways", "NatGatewayId"),
    "endpoint": _listed("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "load balancer": _listed(*_BALANCERS),
    "listener": _of_each(_BALANCERS, "describe_listeners", "LoadBalancerArn", "Listeners", "ListenerArn"),
    "target group": _listed("elbv2", "describe_target_groups", "TargetGroups", "TargetGroupArn"),
    "certificate": _listed("acm", "list_certificates", "CertificateSummaryList", "CertificateArn"),
    "record": _records,
    "bucket": _listed("s3", "list_buckets", "Buckets", "Name"),
    "table": _strings("dynamodb", "list_tables", "TableNames"),
    "secret": _listed("secretsmanager", "list_secrets", "SecretList", "ARN"),
    "log group": _listed("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "key": _keys,
    "role": _listed(*_ROLES),
    "role's policy": _of_each(_ROLES, "list_role_policies", "RoleName", "PolicyNames", ""),
    "repository": _listed("ecr", "describe_repositories", "repositories", "repositoryName"),
    "cluster": _strings("ecs", "list_clusters", "clusterArns"),
    "task definition": _strings("ecs", "list_task_definitions", "taskDefinitionArns"),
    "namespace": _listed("servicediscovery", "list_namespaces", "Namespaces", "Id"),
    "named service": _listed("servicediscovery", "list_services", "Services", "Id"),
    "alarm": _listed("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "dashboard": _listed("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    "scaling": _listed(
        "application-autoscaling",
        "describe_scalable_targets",
        "ScalableTargets",
        "ResourceId",
        ServiceNamespace="ecs",
    ),
    "scaling policy": _listed(
        "application-autoscaling",
        "describe_scaling_policies",
        "ScalingPolicies",
        "PolicyName",
        ServiceNamespace="ecs",
    ),
}
