"""Rows of ELBv2: the load balancer, its listeners, and the group of gateways behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from infra.plugin.properties import Properties
from infra.plugin.resource import PluginError
from tests.aws.plugin.clients import client_of
from tests.aws.plugin.row import Call, Row, names
from tests.aws.plugin.rows.ec2 import network_of, one
from tests.aws.plugin.tags import pairs, retag, unpaired

_BALANCER: Final = {
    "idleTimeout": "idle_timeout.timeout_seconds",
    "dropInvalidHeaderFields": "routing.http.drop_invalid_header_fields.enabled",
    "desyncMitigationMode": "routing.http.desync_mitigation_mode",
    "xffHeaderProcessingMode": "routing.http.xff_header_processing.mode",
    "enableDeletionProtection": "deletion_protection.enabled",
}
"""Attributes by input; they travel as texts."""

_GROUP: Final = {
    "deregistrationDelay": "deregistration_delay.timeout_seconds",
    "loadBalancingAlgorithmType": "load_balancing.algorithm.type",
}


def _attributes(call: Call, known: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"Key": key, "Value": _text(call.given[name])} for name, key in known.items() if name in call.given
    ]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _told(found: list[dict[str, str]], known: Mapping[str, str]) -> Properties:
    by_key = {item["Key"]: item["Value"] for item in found}
    return {name: _value(by_key[key]) for name, key in known.items() if key in by_key}


def _value(text: str) -> Any:
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if text.isdigit() else text


def _retagged(call: Call) -> None:
    retag(
        call,
        lambda tags: call.aws.add_tags(ResourceArns=[call.id], Tags=pairs(tags)),
        lambda gone: call.aws.remove_tags(ResourceArns=[call.id], TagKeys=gone),
    )


def _tags(call: Call) -> dict[str, str]:
    found = call.aws.describe_tags(ResourceArns=[call.id])["TagDescriptions"]
    return unpaired(one(found)["Tags"])


def _suffix(arn: str, kind: str) -> str:
    return arn.partition(f":{kind}")[2]


def _refuse_without_internet(call: Call) -> None:
    """As ELBv2; ministack's asks nothing of a network."""
    ec2 = client_of("ec2", call.aws.meta.region_name)
    network = network_of(ec2, call.given["subnets"])
    gateways = ec2.describe_internet_gateways()["InternetGateways"]
    if network not in {at["VpcId"] for gateway in gateways for at in gateway["Attachments"]}:
        raise PluginError(f"elbv2 refused: {network} has no internet gateway")


def _make_balancer(call: Call) -> str:
    given = call.given
    _refuse_without_internet(call)
    made = call.aws.create_load_balancer(
        Name=given["name"],
        Type=given["loadBalancerType"],
        Scheme="internal" if given["internal"] else "internet-facing",
        Subnets=given["subnets"],
        SecurityGroups=given["securityGroups"],
        Tags=pairs(given.get("tags")),
    )
    arn = str(one(made["LoadBalancers"])["LoadBalancerArn"])
    call.aws.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=_attributes(call, _BALANCER))
    return arn


def _find_balancer(call: Call) -> Properties:
    found = one(call.aws.describe_load_balancers(LoadBalancerArns=[call.id])["LoadBalancers"])
    attributes = call.aws.describe_load_balancer_attributes(LoadBalancerArn=call.id)["Attributes"]
    return {
        "name": found["LoadBalancerName"],
        "loadBalancerType": found["Type"],
        "internal": found["Scheme"] == "internal",
        "subnets": [zone["SubnetId"] for zone in found["AvailabilityZones"]],
        "securityGroups": found["SecurityGroups"],
        "tags": _tags(call),
        **_told(attributes, _BALANCER),
        "arn": call.id,
        "dnsName": found["DNSName"],
        "zoneId": found["CanonicalHostedZoneId"],
        "arnSuffix": _suffix(call.id, "loadbalancer/"),
    }


def _change_balancer(call: Call) -> None:
    call.aws.modify_load_balancer_attributes(LoadBalancerArn=call.id, Attributes=_attributes(call, _BALANCER))
    call.aws.set_security_groups(LoadBalancerArn=call.id, SecurityGroups=call.given["securityGroups"])
    call.aws.set_subnets(LoadBalancerArn=call.id, Subnets=call.given["subnets"])
    _retagged(call)


LOAD_BALANCER: Final = Row(
    service="elbv2",
    inputs=names("name loadBalancerType internal subnets securityGroups tags") | _BALANCER.keys(),
    required=names("loadBalancerType internal subnets securityGroups"),
    replaces=names("name loadBalancerType internal"),
    sets=names("subnets securityGroups"),
    outputs=names("arn dnsName zoneId arnSuffix"),
    auto_named=True,
    make=_make_balancer,
    find=_find_balancer,
    change=_change_balancer,
    remove=lambda call: call.aws.delete_load_balancer(LoadBalancerArn=call.id),
)


def _health(call: Call) -> dict[str, Any]:
    check = call.given["healthCheck"]
    return {
        "HealthCheckPath": check["path"],
        "HealthCheckProtocol": check["protocol"],
        "HealthCheckIntervalSeconds": check["interval"],
        "HealthCheckTimeoutSeconds": check["timeout"],
        "HealthyThresholdCount": check["healthyThreshold"],
        "UnhealthyThresholdCount": check["unhealthyThreshold"],
        "Matcher": {"HttpCode": check["matcher"]},
    }


def _make_group(call: Call) -> str:
    given = call.given
    made = call.aws.create_target_group(
        Name=given["name"],
        VpcId=given["vpcId"],
        TargetType=given["targetType"],
        Port=given["port"],
        Protocol=given["protocol"],
        ProtocolVersion=given["protocolVersion"],
        Tags=pairs(given.get("tags")),
        **_health(call),
    )
    arn = str(one(made["TargetGroups"])["TargetGroupArn"])
    call.aws.modify_target_group_attributes(TargetGroupArn=arn, Attributes=_attributes(call, _GROUP))
    return arn


def _find_group(call: Call) -> Properties:
    found = one(call.aws.describe_target_groups(TargetGroupArns=[call.id])["TargetGroups"])
    attributes = call.aws.describe_target_group_attributes(TargetGroupArn=call.id)["Attributes"]
    told = {
        "name": found["TargetGroupName"],
        "vpcId": found["VpcId"],
        "targetType": found["TargetType"],
        "port": found["Port"],
        "protocol": found["Protocol"],
        "healthCheck": {
            "path": found["HealthCheckPath"],
            "protocol": found["HealthCheckProtocol"],
            "interval": found["HealthCheckIntervalSeconds"],
            "timeout": found["HealthCheckTimeoutSeconds"],
            "healthyThreshold": found["HealthyThresholdCount"],
            "unhealthyThreshold": found["UnhealthyThresholdCount"],
            "matcher": found["Matcher"]["HttpCode"],
        },
        "tags": _tags(call),
        **_told(attributes, _GROUP),
        "arn": call.id,
        "arnSuffix": "targetgroup/" + _suffix(call.id, "targetgroup/"),
    }
    if "ProtocolVersion" in found:
        told["protocolVersion"] = found["ProtocolVersion"]
    return told


def _change_group(call: Call) -> None:
    call.aws.modify_target_group(TargetGroupArn=call.id, **_health(call))
    call.aws.modify_target_group_attributes(TargetGroupArn=call.id, Attributes=_attributes(call, _GROUP))
    _retagged(call)


TARGET_GROUP: Final = Row(
    service="elbv2",
    inputs=names("name vpcId targetType port protocol protocolVersion healthCheck tags") | _GROUP.keys(),
    required=names("vpcId targetType port protocol protocolVersion healthCheck"),
    replaces=names("name vpcId targetType port protocol protocolVersion"),
    outputs=names("arn arnSuffix"),
    auto_named=True,
    make=_make_group,
    find=_find_group,
    change=_change_group,
    remove=lambda call: call.aws.delete_target_group(TargetGroupArn=call.id),
)


def _action(given: Properties) -> dict[str, Any]:
    match given["type"]:
        case "forward":
            return {"Type": "forward", "TargetGroupArn": given["targetGroupArn"]}
        case "redirect":
            to = given["redirect"]
            return {
                "Type": "redirect",
                "RedirectConfig": {
                    "Protocol": to["protocol"],
                    "Port": to["port"],
                    "StatusCode": to["statusCode"],
                },
            }
    answer = given["fixedResponse"]
    return {
        "Type": "fixed-response",
        "FixedResponseConfig": {
            "StatusCode": answer["statusCode"],
            "ContentType": answer["contentType"],
            "MessageBody": answer["messageBody"],
        },
    }


def _action_told(found: Mapping[str, Any]) -> Properties:
    match found["Type"]:
        case "forward":
            return {"type": "forward", "targetGroupArn": found["TargetGroupArn"]}
        case "redirect":
            to = found["RedirectConfig"]
            told = {"protocol": to["Protocol"], "port": to["Port"], "statusCode": to["StatusCode"]}
            return {"type": "redirect", "redirect": told}
    answer = found["FixedResponseConfig"]
    return {
        "type": "fixed-response",
        "fixedResponse": {
            "statusCode": answer["StatusCode"],
            "contentType": answer["ContentType"],
            "messageBody": answer["MessageBody"],
        },
    }


def _listening(call: Call) -> dict[str, Any]:
    given = call.given
    asked: dict[str, Any] = {
        "Port": given["port"],
        "Protocol": given["protocol"],
        "DefaultActions": [_action(action) for action in given["defaultActions"]],
    }
    if "certificateArn" in given:
        asked |= {
            "SslPolicy": given["sslPolicy"],
            "Certificates": [{"CertificateArn": given["certificateArn"]}],
        }
    return asked


def _make_listener(call: Call) -> str:
    made = call.aws.create_listener(
        LoadBalancerArn=call.given["loadBalancerArn"],
        Tags=pairs(call.given.get("tags")),
        **_listening(call),
    )
    return str(one(made["Listeners"])["ListenerArn"])


def _find_listener(call: Call) -> Properties:
    found = one(call.aws.describe_listeners(ListenerArns=[call.id])["Listeners"])
    told = {
        "loadBalancerArn": found["LoadBalancerArn"],
        "port": found["Port"],
        "protocol": found["Protocol"],
        "defaultActions": [_action_told(action) for action in found["DefaultActions"]],
        "tags": _tags(call),
        "arn": call.id,
    }
    if found.get("Certificates"):
        told["certificateArn"] = found["Certificates"][0]["CertificateArn"]
    if found.get("SslPolicy"):
        told["sslPolicy"] = found["SslPolicy"]
    return told


def _change_listener(call: Call) -> None:
    call.aws.modify_listener(ListenerArn=call.id, **_listening(call))
    _retagged(call)


LISTENER: Final = Row(
    service="elbv2",
    inputs=names("loadBalancerArn port protocol sslPolicy certificateArn defaultActions tags"),
    required=names("loadBalancerArn port protocol defaultActions"),
    replaces=names("loadBalancerArn"),
    outputs=names("arn"),
    make=_make_listener,
    find=_find_listener,
    change=_change_listener,
    remove=lambda call: call.aws.delete_listener(ListenerArn=call.id),
)
