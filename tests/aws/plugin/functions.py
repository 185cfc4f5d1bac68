"""What the program asks AWS before it declares anything: whose account, which zones, whose password."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from infra.plugin.package import Function
from infra.plugin.properties import Properties
from infra.plugin.resource import Context, PluginError
from tests.aws.plugin.clients import client_of


def _client(context: Context, service: str) -> Any:
    return client_of(service, str(context.configured["region"]))


def _identity(context: Context, asked: Properties) -> Properties:
    found = _client(context, "sts").get_caller_identity()
    return {
        "accountId": found["Account"],
        "arn": found["Arn"],
        "userId": found["UserId"],
        "id": found["Account"],
    }


def _zones(context: Context, asked: Properties) -> Properties:
    filters = [{"Name": item["name"], "Values": item["values"]} for item in asked.get("filters") or []]
    filters.append({"Name": "state", "Values": [asked["state"]]})
    zones = _client(context, "ec2").describe_availability_zones(Filters=filters)["AvailabilityZones"]
    found = [zone for zone in zones if zone["ZoneId"] not in asked.get("excludeZoneIds", ())]
    return {
        "id": context.configured["region"],
        "names": sorted(zone["ZoneName"] for zone in found),
        "zoneIds": sorted(zone["ZoneId"] for zone in found),
        "groupNames": [],
        "state": asked["state"],
        "region": context.configured["region"],
    }


def _registry(context: Context, asked: Properties) -> Properties:
    [found] = _client(context, "ecr").get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    return {
        "authorizationToken": found["authorizationToken"],
        "userName": user,
        "password": password,
        "proxyEndpoint": found["proxyEndpoint"],
        "expiresAt": "",
        "id": context.configured["region"],
        "region": context.configured["region"],
    }


def _prefixes(context: Context, asked: Properties) -> Properties:
    filters = [{"Name": "prefix-list-name", "Values": [asked["name"]]}]
    found = _client(context, "ec2").describe_prefix_lists(Filters=filters)["PrefixLists"]
    if len(found) != 1:
        raise PluginError(f"there is no prefix list {asked['name']}")
    return {
        "id": found[0]["PrefixListId"],
        "name": found[0]["PrefixListName"],
        "cidrBlocks": found[0]["Cidrs"],
        "region": context.configured["region"],
    }


def _vpc(context: Context, asked: Properties) -> Properties:
    [found] = _client(context, "ec2").describe_vpcs(VpcIds=[asked["id"]])["Vpcs"]
    return {
        "id": found["VpcId"],
        "cidrBlock": found["CidrBlock"],
        "region": context.configured["region"],
    }


FUNCTIONS: Final[Mapping[str, Function]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _identity,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _zones,
    "aws:ecr/getAuthorizationToken:getAuthorizationToken": _registry,
    "aws:ec2/getPrefixList:getPrefixList": _prefixes,
    "aws:ec2/getVpc:getVpc": _vpc,
}
