"""Rows of EC2's networks: what is in a VPC, and the ways in and out of it."""

from __future__ import annotations

from typing import Any, Final

from infra.plugin.properties import Properties
from infra.plugin.resource import MissingError, PluginError
from tests.aws.plugin.clients import client_of
from tests.aws.plugin.row import Call, Row, names
from tests.aws.plugin.tags import pairs, retag, unpaired


def tagged(call: Call, kind: str) -> list[dict[str, Any]]:
    """`TagSpecifications` of what is made."""
    return [{"ResourceType": kind, "Tags": pairs(call.given.get("tags"))}] if call.given.get("tags") else []


def retagged(call: Call) -> None:
    """As most of EC2 changes: its tags alone."""
    retag(
        call,
        lambda tags: call.aws.create_tags(Resources=[call.id], Tags=pairs(tags)),
        lambda gone: call.aws.delete_tags(Resources=[call.id], Tags=[{"Key": key} for key in gone]),
    )


def one(found: list[Any]) -> Any:
    """The only one. Raises `MissingError` for none."""
    if not found:
        raise MissingError
    return found[0]


def _make_vpc(call: Call) -> str:
    made = call.aws.create_vpc(CidrBlock=call.given["cidrBlock"], TagSpecifications=tagged(call, "vpc"))
    vpc = str(made["Vpc"]["VpcId"])
    _dns(call, vpc)
    return vpc


def _dns(call: Call, vpc: str) -> None:
    for name, parameter in (
        ("enableDnsSupport", "EnableDnsSupport"),
        ("enableDnsHostnames", "EnableDnsHostnames"),
    ):
        if name in call.given:
            call.aws.modify_vpc_attribute(VpcId=vpc, **{parameter: {"Value": call.given[name]}})


def _change_vpc(call: Call) -> None:
    _dns(call, call.id)
    retagged(call)


def _find_vpc(call: Call) -> Properties:
    found = one(call.aws.describe_vpcs(VpcIds=[call.id])["Vpcs"])
    support = call.aws.describe_vpc_attribute(VpcId=call.id, Attribute="enableDnsSupport")
    hostnames = call.aws.describe_vpc_attribute(VpcId=call.id, Attribute="enableDnsHostnames")
    return {
        "cidrBlock": found["CidrBlock"],
        "enableDnsSupport": support["EnableDnsSupport"]["Value"],
        "enableDnsHostnames": hostnames["EnableDnsHostnames"]["Value"],
        "tags": unpaired(found.get("Tags")),
    }


VPC: Final = Row(
    service="ec2",
    inputs=names("cidrBlock enableDnsSupport enableDnsHostnames tags"),
    required=names("cidrBlock"),
    replaces=names("cidrBlock"),
    make=_make_vpc,
    find=_find_vpc,
    change=_change_vpc,
    remove=lambda call: call.aws.delete_vpc(VpcId=call.id),
)


def _make_subnet(call: Call) -> str:
    made = call.aws.create_subnet(
        VpcId=call.given["vpcId"],
        CidrBlock=call.given["cidrBlock"],
        AvailabilityZone=call.given["availabilityZone"],
        TagSpecifications=tagged(call, "subnet"),
    )
    subnet = str(made["Subnet"]["SubnetId"])
    _public_addresses(call, subnet)
    return subnet


def _public_addresses(call: Call, subnet: str) -> None:
    wanted = bool(call.given.get("mapPublicIpOnLaunch"))
    call.aws.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": wanted})


def _change_subnet(call: Call) -> None:
    _public_addresses(call, call.id)
    retagged(call)


def _find_subnet(call: Call) -> Properties:
    found = one(call.aws.describe_subnets(SubnetIds=[call.id])["Subnets"])
    return {
        "vpcId": found["VpcId"],
        "cidrBlock": found["CidrBlock"],
        "availabilityZone": found["AvailabilityZone"],
        "mapPublicIpOnLaunch": found["MapPublicIpOnLaunch"],
        "tags": unpaired(found.get("Tags")),
    }


SUBNET: Final = Row(
    service="ec2",
    inputs=names("vpcId cidrBlock availabilityZone mapPublicIpOnLaunch tags"),
    required=names("vpcId cidrBlock availabilityZone"),
    replaces=names("vpcId cidrBlock availabilityZone"),
    make=_make_subnet,
    find=_find_subnet,
    change=_change_subnet,
    remove=lambda call: call.aws.delete_subnet(SubnetId=call.id),
)


def _make_internet(call: Call) -> str:
    made = call.aws.create_internet_gateway(TagSpecifications=tagged(call, "internet-gateway"))
    gateway = str(made["InternetGateway"]["InternetGatewayId"])
    call.aws.attach_internet_gateway(InternetGatewayId=gateway, VpcId=call.given["vpcId"])
    return gateway


def _find_internet(call: Call) -> Properties:
    found = one(call.aws.describe_internet_gateways(InternetGatewayIds=[call.id])["InternetGateways"])
    return {"vpcId": one(found["Attachments"])["VpcId"], "tags": unpaired(found.get("Tags"))}


def network_of(aws: Any, subnets: list[str]) -> str:
    """The VPC that has them."""
    return str(aws.describe_subnets(SubnetIds=subnets)["Subnets"][0]["VpcId"])


def _remove_internet(call: Call) -> None:
    # As EC2; ministack's load balancers have no addresses.
    balancing = client_of("elbv2", call.aws.meta.region_name)
    for balancer in balancing.describe_load_balancers()["LoadBalancers"]:
        subnets = [zone["SubnetId"] for zone in balancer["AvailabilityZones"]]
        if network_of(call.aws, subnets) == call.given["vpcId"]:
            raise PluginError(f"ec2 refused: {call.given['vpcId']} has some mapped public addresses")
    call.aws.detach_internet_gateway(InternetGatewayId=call.id, VpcId=call.given["vpcId"])
    call.aws.delete_internet_gateway(InternetGatewayId=call.id)


INTERNET_GATEWAY: Final = Row(
    service="ec2",
    inputs=names("vpcId tags"),
    required=names("vpcId"),
    replaces=names("vpcId"),
    make=_make_internet,
    find=_find_internet,
    change=retagged,
    remove=_remove_internet,
)


def _make_address(call: Call) -> str:
    made = call.aws.allocate_address(
        Domain=call.given["domain"], TagSpecifications=tagged(call, "elastic-ip")
    )
    return str(made["AllocationId"])


def _find_address(call: Call) -> Properties:
    found = one(call.aws.describe_addresses(AllocationIds=[call.id])["Addresses"])
    return {
        "domain": found["Domain"],
        "publicIp": found["PublicIp"],
        "allocationId": call.id,
        "tags": unpaired(found.get("Tags")),
    }


EIP: Final = Row(
    service="ec2",
    inputs=names("domain tags"),
    required=names("domain"),
    replaces=names("domain"),
    outputs=names("publicIp allocationId"),
    make=_make_address,
    find=_find_address,
    change=retagged,
    remove=lambda call: call.aws.release_address(AllocationId=call.id),
)


def _make_nat(call: Call) -> str:
    made = call.aws.create_nat_gateway(
        AllocationId=call.given["allocationId"],
        SubnetId=call.given["subnetId"],
        TagSpecifications=tagged(call, "natgateway"),
    )
    return str(made["NatGateway"]["NatGatewayId"])


def _nat(call: Call) -> Any:
    found = one(call.aws.describe_nat_gateways(NatGatewayIds=[call.id])["NatGateways"])
    if found["State"] == "deleted":
        raise MissingError
    return found


def _find_nat(call: Call) -> Properties:
    call.wait(lambda: bool(_nat(call)["State"] == "available"), "its being available")
    found = _nat(call)
    return {
        "subnetId": found["SubnetId"],
        "allocationId": next((item["AllocationId"] for item in found["NatGatewayAddresses"]), None),
        "tags": unpaired(found.get("Tags")),
    }


def _remove_nat(call: Call) -> None:
    call.aws.delete_nat_gateway(NatGatewayId=call.id)
    call.wait(lambda: bool(_nat(call)["State"] == "never"), "its end")


NAT_GATEWAY: Final = Row(
    service="ec2",
    inputs=names("allocationId subnetId tags"),
    required=names("allocationId subnetId"),
    replaces=names("allocationId subnetId"),
    make=_make_nat,
    find=_find_nat,
    change=retagged,
    remove=_remove_nat,
)
