"""Rows of EC2's routes, endpoints and security groups: who reaches whom, and by which way."""

from __future__ import annotations

from typing import Any, Final

from infra.plugin.properties import Properties
from infra.plugin.resource import MissingError
from tests.aws.plugin.row import Call, Row, names
from tests.aws.plugin.rows.ec2 import one, retagged, tagged
from tests.aws.plugin.tags import unpaired


def _make_table(call: Call) -> str:
    made = call.aws.create_route_table(
        VpcId=call.given["vpcId"], TagSpecifications=tagged(call, "route-table")
    )
    return str(made["RouteTable"]["RouteTableId"])


def _table(call: Call, table: str) -> Any:
    return one(call.aws.describe_route_tables(RouteTableIds=[table])["RouteTables"])


def _find_table(call: Call) -> Properties:
    found = _table(call, call.id)
    return {"vpcId": found["VpcId"], "tags": unpaired(found.get("Tags"))}


ROUTE_TABLE: Final = Row(
    service="ec2",
    inputs=names("vpcId tags"),
    required=names("vpcId"),
    replaces=names("vpcId"),
    make=_make_table,
    find=_find_table,
    change=retagged,
    remove=lambda call: call.aws.delete_route_table(RouteTableId=call.id),
)


def _make_association(call: Call) -> str:
    made = call.aws.associate_route_table(
        RouteTableId=call.given["routeTableId"], SubnetId=call.given["subnetId"]
    )
    return str(made["AssociationId"])


def _find_association(call: Call) -> Properties:
    there = _table(call, call.given["routeTableId"])["Associations"]
    found = one([item for item in there if item["RouteTableAssociationId"] == call.id])
    return {"routeTableId": call.given["routeTableId"], "subnetId": found["SubnetId"]}


ROUTE_TABLE_ASSOCIATION: Final = Row(
    service="ec2",
    inputs=names("routeTableId subnetId"),
    required=names("routeTableId subnetId"),
    replaces=names("routeTableId subnetId"),
    make=_make_association,
    find=_find_association,
    remove=lambda call: call.aws.disassociate_route_table(AssociationId=call.id),
)


def _way(call: Call) -> dict[str, str]:
    given = call.given
    if "natGatewayId" in given:
        return {"NatGatewayId": given["natGatewayId"]}
    return {"GatewayId": given["gatewayId"]}


def _where(call: Call) -> dict[str, str]:
    return {
        "RouteTableId": call.given["routeTableId"],
        "DestinationCidrBlock": call.given["destinationCidrBlock"],
    }


def _make_route(call: Call) -> str:
    call.aws.create_route(**_where(call), **_way(call))
    return f"{call.given['routeTableId']}_{call.given['destinationCidrBlock']}"


def _find_route(call: Call) -> Properties:
    where = _where(call)
    routes = _table(call, where["RouteTableId"])["Routes"]
    found = one(
        [item for item in routes if item.get("DestinationCidrBlock") == where["DestinationCidrBlock"]]
    )
    told = {"routeTableId": where["RouteTableId"], "destinationCidrBlock": where["DestinationCidrBlock"]}
    for key, name in (("GatewayId", "gatewayId"), ("NatGatewayId", "natGatewayId")):
        if found.get(key):
            told[name] = found[key]
    return told


ROUTE: Final = Row(
    service="ec2",
    inputs=names("routeTableId destinationCidrBlock gatewayId natGatewayId"),
    required=names("routeTableId destinationCidrBlock"),
    replaces=names("routeTableId destinationCidrBlock"),
    make=_make_route,
    find=_find_route,
    change=lambda call: call.aws.replace_route(**_where(call), **_way(call)),
    remove=lambda call: call.aws.delete_route(**_where(call)),
)


def _make_endpoint(call: Call) -> str:
    given = call.given
    more: dict[str, Any] = {
        "RouteTableIds": given.get("routeTableIds") or [],
        "SubnetIds": given.get("subnetIds") or [],
        "SecurityGroupIds": given.get("securityGroupIds") or [],
    }
    if "privateDnsEnabled" in given:
        more["PrivateDnsEnabled"] = given["privateDnsEnabled"]
    made = call.aws.create_vpc_endpoint(
        VpcId=given["vpcId"],
        ServiceName=given["serviceName"],
        VpcEndpointType=given["vpcEndpointType"],
        PolicyDocument=given["policy"],
        TagSpecifications=tagged(call, "vpc-endpoint"),
        **{key: value for key, value in more.items() if value != []},
    )
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def _endpoint(call: Call) -> Any:
    found = one(call.aws.describe_vpc_endpoints(VpcEndpointIds=[call.id])["VpcEndpoints"])
    if found["State"] == "deleted":
        raise MissingError
    return found


def _find_endpoint(call: Call) -> Properties:
    found = _endpoint(call)
    lists = call.aws.describe_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": [found["ServiceName"]]}]
    )["PrefixLists"]
    told: Properties = {
        "vpcId": found["VpcId"],
        "serviceName": found["ServiceName"],
        "vpcEndpointType": found["VpcEndpointType"],
        "policy": found.get("PolicyDocument"),
        "tags": unpaired(found.get("Tags")),
    }
    if found["VpcEndpointType"] == "Gateway":
        told |= {"routeTableIds": found["RouteTableIds"], "prefixListId": one(lists)["PrefixListId"]}
    else:
        told |= {
            "subnetIds": found["SubnetIds"],
            "securityGroupIds": [group["GroupId"] for group in found["Groups"]]
            if "Groups" in found
            else None,
            "privateDnsEnabled": found.get("PrivateDnsEnabled"),
        }
    return told


def _change_endpoint(call: Call) -> None:
    asked: dict[str, Any] = {"PolicyDocument": call.given["policy"]}
    for name, part in (
        ("routeTableIds", "RouteTableIds"),
        ("subnetIds", "SubnetIds"),
        ("securityGroupIds", "SecurityGroupIds"),
    ):
        wanted, had = set(call.given.get(name) or []), set(call.was.get(name) or [])
        asked |= {f"Add{part}": sorted(wanted - had), f"Remove{part}": sorted(had - wanted)}
    call.aws.modify_vpc_endpoint(
        VpcEndpointId=call.id, **{key: value for key, value in asked.items() if value}
    )
    retagged(call)


def _remove_endpoint(call: Call) -> None:
    call.aws.delete_vpc_endpoints(VpcEndpointIds=[call.id])
    call.wait(lambda: bool(_endpoint(call)["State"] == "never"), "its end")


VPC_ENDPOINT: Final = Row(
    service="ec2",
    inputs=names(
        "vpcId serviceName vpcEndpointType routeTableIds subnetIds securityGroupIds privateDnsEnabled policy tags"
    ),
    required=names("vpcId serviceName vpcEndpointType policy"),
    replaces=names("vpcId serviceName vpcEndpointType privateDnsEnabled"),
    sets=names("routeTableIds subnetIds securityGroupIds"),
    outputs=names("prefixListId"),
    make=_make_endpoint,
    find=_find_endpoint,
    change=_change_endpoint,
    remove=_remove_endpoint,
)


def _make_group(call: Call) -> str:
    made = call.aws.create_security_group(
        GroupName=call.given["name"],
        Description=call.given["description"],
        VpcId=call.given["vpcId"],
        TagSpecifications=tagged(call, "security-group"),
    )
    group = str(made["GroupId"])
    # As the official plugin: without the rule that AWS gives every new group, all that is allowed is declared.
    found = one(call.aws.describe_security_groups(GroupIds=[group])["SecurityGroups"])
    if found["IpPermissionsEgress"]:
        call.aws.revoke_security_group_egress(GroupId=group, IpPermissions=found["IpPermissionsEgress"])
    return group


def _find_group(call: Call) -> Properties:
    found = one(call.aws.describe_security_groups(GroupIds=[call.id])["SecurityGroups"])
    return {
        "name": found["GroupName"],
        "description": found["Description"],
        "vpcId": found["VpcId"],
        "tags": unpaired(found.get("Tags")),
    }


SECURITY_GROUP: Final = Row(
    service="ec2",
    inputs=names("name vpcId description tags"),
    required=names("vpcId description"),
    replaces=names("name vpcId description"),
    auto_named=True,
    make=_make_group,
    find=_find_group,
    change=retagged,
    remove=lambda call: call.aws.delete_security_group(GroupId=call.id),
)


def _permission(call: Call) -> dict[str, Any]:
    given = call.given
    asked: dict[str, Any] = {"IpProtocol": given["ipProtocol"]}
    if "fromPort" in given:
        asked |= {"FromPort": given["fromPort"], "ToPort": given["toPort"]}
    if "cidrIpv4" in given:
        asked["IpRanges"] = [{"CidrIp": given["cidrIpv4"]}]
    elif "prefixListId" in given:
        asked["PrefixListIds"] = [{"PrefixListId": given["prefixListId"]}]
    else:
        asked["UserIdGroupPairs"] = [{"GroupId": given["referencedSecurityGroupId"]}]
    return asked


def _make_rule(call: Call, direction: str) -> str:
    authorize = getattr(call.aws, f"authorize_security_group_{direction}")
    made = authorize(
        GroupId=call.given["securityGroupId"],
        IpPermissions=[_permission(call)],
        TagSpecifications=tagged(call, "security-group-rule"),
    )
    return str(one(made["SecurityGroupRules"])["SecurityGroupRuleId"])


def _find_rule(call: Call) -> Properties:
    found = one(call.aws.describe_security_group_rules(SecurityGroupRuleIds=[call.id])["SecurityGroupRules"])
    told = {
        "securityGroupId": found["GroupId"],
        "ipProtocol": found["IpProtocol"],
        "tags": unpaired(found.get("Tags")),
    }
    if found["IpProtocol"] != "-1":
        told |= {"fromPort": found["FromPort"], "toPort": found["ToPort"]}
    for key, name in (("CidrIpv4", "cidrIpv4"), ("PrefixListId", "prefixListId")):
        if found.get(key):
            told[name] = found[key]
    if found.get("ReferencedGroupInfo"):
        told["referencedSecurityGroupId"] = found["ReferencedGroupInfo"]["GroupId"]
    return told


def _rule(direction: str) -> Row:
    what = "securityGroupId ipProtocol fromPort toPort cidrIpv4 prefixListId referencedSecurityGroupId"
    return Row(
        service="ec2",
        inputs=names(f"{what} tags"),
        required=names("securityGroupId ipProtocol"),
        replaces=names(what),
        make=lambda call: _make_rule(call, direction),
        find=_find_rule,
        change=retagged,
        remove=lambda call: getattr(call.aws, f"revoke_security_group_{direction}")(
            GroupId=call.given["securityGroupId"], SecurityGroupRuleIds=[call.id]
        ),
    )


INGRESS_RULE: Final = _rule("ingress")
EGRESS_RULE: Final = _rule("egress")
