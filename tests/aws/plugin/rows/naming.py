"""Rows of what gives names: Cloud Map's namespace and service, Route 53's records, ACM's certificates."""

from __future__ import annotations

from typing import Any, Final

from infra.plugin.properties import Properties
from infra.plugin.resource import PluginError
from tests.aws.plugin.row import Call, Row, names, nothing_changes
from tests.aws.plugin.rows.ec2 import one
from tests.aws.plugin.tags import pairs, retag, unpaired


def _done(call: Call, operation: str) -> dict[str, str]:
    """What an operation of Cloud Map was about, once it is over."""

    def over() -> bool:
        told = call.aws.get_operation(OperationId=operation)["Operation"]
        if told["Status"] == "FAIL":
            raise PluginError(f"Cloud Map: {told.get('ErrorMessage')}")
        return bool(told["Status"] == "SUCCESS")

    call.wait(over, f"the operation {operation}")
    targets: dict[str, str] = call.aws.get_operation(OperationId=operation)["Operation"]["Targets"]
    return targets


def _retagged(call: Call) -> None:
    arn = call.was["arn"]
    retag(
        call,
        lambda tags: call.aws.tag_resource(ResourceARN=arn, Tags=pairs(tags)),
        lambda gone: call.aws.untag_resource(ResourceARN=arn, TagKeys=gone),
    )


def _make_namespace(call: Call) -> str:
    made = call.aws.create_private_dns_namespace(
        Name=call.given["name"],
        Vpc=call.given["vpc"],
        Description=call.given["description"],
        Tags=pairs(call.given.get("tags")),
    )
    return _done(call, made["OperationId"])["NAMESPACE"]


def _find_namespace(call: Call) -> Properties:
    found = call.aws.get_namespace(Id=call.id)["Namespace"]
    return {
        "name": found["Name"],
        "description": found["Description"],
        "tags": unpaired(call.aws.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"]),
        "arn": found["Arn"],
        "hostedZone": found["Properties"]["DnsProperties"]["HostedZoneId"],
    }


NAMESPACE: Final = Row(
    service="servicediscovery",
    inputs=names("name vpc description tags"),
    required=names("name vpc description"),
    replaces=names("name vpc description"),
    outputs=names("arn hostedZone"),
    make=_make_namespace,
    find=_find_namespace,
    change=_retagged,
    remove=lambda call: _done(call, call.aws.delete_namespace(Id=call.id)["OperationId"]),
)


def _records(call: Call) -> list[dict[str, Any]]:
    return [
        {"Type": record["type"], "TTL": record["ttl"]} for record in call.given["dnsConfig"]["dnsRecords"]
    ]


def _make_service(call: Call) -> str:
    dns = call.given["dnsConfig"]
    made = call.aws.create_service(
        Name=call.given["name"],
        NamespaceId=dns["namespaceId"],
        DnsConfig={"RoutingPolicy": dns["routingPolicy"], "DnsRecords": _records(call)},
        Tags=pairs(call.given.get("tags")),
    )
    return str(made["Service"]["Id"])


def _find_service(call: Call) -> Properties:
    found = call.aws.get_service(Id=call.id)["Service"]
    dns = found["DnsConfig"]
    return {
        "name": found["Name"],
        "dnsConfig": {
            "namespaceId": found["NamespaceId"],
            "routingPolicy": dns["RoutingPolicy"],
            "dnsRecords": [{"type": record["Type"], "ttl": record["TTL"]} for record in dns["DnsRecords"]],
        },
        "tags": unpaired(call.aws.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"]),
        "arn": found["Arn"],
    }


def _change_service(call: Call) -> None:
    if call.given["dnsConfig"] != call.was.get("dnsConfig"):
        made = call.aws.update_service(Id=call.id, Service={"DnsConfig": {"DnsRecords": _records(call)}})
        _done(call, made["OperationId"])
    _retagged(call)


def _remove_service(call: Call) -> None:
    if call.given.get("forceDestroy"):
        for page in call.aws.get_paginator("list_instances").paginate(ServiceId=call.id):
            for instance in page["Instances"]:
                gone = call.aws.deregister_instance(ServiceId=call.id, InstanceId=instance["Id"])
                _done(call, gone["OperationId"])
    call.aws.delete_service(Id=call.id)


SERVICE: Final = Row(
    service="servicediscovery",
    inputs=names("name dnsConfig forceDestroy tags"),
    required=names("name dnsConfig"),
    replaces=names("name"),
    outputs=names("arn"),
    silent=names("forceDestroy"),
    make=_make_service,
    find=_find_service,
    change=_change_service,
    remove=_remove_service,
)


def _record(given: Properties) -> dict[str, Any]:
    record: dict[str, Any] = {"Name": given["name"], "Type": given["type"]}
    if given.get("aliases"):
        [alias] = given["aliases"]
        record["AliasTarget"] = {
            "HostedZoneId": alias["zoneId"],
            "DNSName": alias["name"],
            "EvaluateTargetHealth": alias["evaluateTargetHealth"],
        }
    else:
        record |= {"TTL": given["ttl"], "ResourceRecords": [{"Value": text} for text in given["records"]]}
    return record


def _change_record(call: Call, action: str) -> None:
    call.aws.change_resource_record_sets(
        HostedZoneId=call.given["zoneId"],
        ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": _record(call.given)}]},
    )


def _make_record(call: Call) -> str:
    given = call.given
    _change_record(call, "UPSERT" if given.get("allowOverwrite") else "CREATE")
    return f"{given['zoneId']}_{given['name'].rstrip('.')}_{given['type']}"


def _find_record(call: Call) -> Properties:
    zone, name, kind = call.given["zoneId"], call.given["name"].rstrip("."), call.given["type"]
    listed = call.aws.list_resource_record_sets(HostedZoneId=zone, StartRecordName=name, StartRecordType=kind)
    found = one(
        [
            record
            for record in listed["ResourceRecordSets"]
            if record["Name"].rstrip(".") == name and record["Type"] == kind
        ]
    )
    told: Properties = {"zoneId": zone, "name": call.given["name"], "type": kind, "fqdn": name}
    if alias := found.get("AliasTarget"):
        told["aliases"] = [
            {
                "zoneId": alias["HostedZoneId"],
                "name": alias["DNSName"].rstrip("."),
                "evaluateTargetHealth": alias["EvaluateTargetHealth"],
            }
        ]
    else:
        told |= {"ttl": found["TTL"], "records": [item["Value"] for item in found["ResourceRecords"]]}
    return told


def _remove_record(call: Call) -> None:
    # One that is gone is an invalid change to Route 53, and the same code as for others.
    _find_record(call)
    _change_record(call, "DELETE")


RECORD: Final = Row(
    service="route53",
    inputs=names("zoneId name type ttl records aliases allowOverwrite"),
    required=names("zoneId name type"),
    replaces=names("zoneId name type"),
    sets=names("records"),
    outputs=names("fqdn"),
    silent=names("allowOverwrite"),
    make=_make_record,
    find=_find_record,
    change=lambda call: _change_record(call, "UPSERT"),
    remove=_remove_record,
)


def _make_certificate(call: Call) -> str:
    made = call.aws.request_certificate(
        DomainName=call.given["domainName"],
        ValidationMethod=call.given["validationMethod"],
        Tags=pairs(call.given.get("tags")),
    )
    return str(made["CertificateArn"])


def _find_certificate(call: Call) -> Properties:
    found = call.aws.describe_certificate(CertificateArn=call.id)["Certificate"]
    asked = [
        {
            "domainName": option["DomainName"],
            "resourceRecordName": option["ResourceRecord"]["Name"],
            "resourceRecordType": option["ResourceRecord"]["Type"],
            "resourceRecordValue": option["ResourceRecord"]["Value"],
        }
        for option in found["DomainValidationOptions"]
    ]
    return {
        "domainName": found["DomainName"],
        "tags": unpaired(call.aws.list_tags_for_certificate(CertificateArn=call.id)["Tags"]),
        "arn": call.id,
        "domainValidationOptions": asked,
    }


def _change_certificate(call: Call) -> None:
    retag(
        call,
        lambda tags: call.aws.add_tags_to_certificate(CertificateArn=call.id, Tags=pairs(tags)),
        lambda gone: call.aws.remove_tags_from_certificate(
            CertificateArn=call.id, Tags=[{"Key": key} for key in gone]
        ),
    )


CERTIFICATE: Final = Row(
    service="acm",
    inputs=names("domainName validationMethod tags"),
    required=names("domainName validationMethod"),
    replaces=names("domainName validationMethod"),
    outputs=names("arn domainValidationOptions"),
    silent=names("validationMethod"),
    make=_make_certificate,
    find=_find_certificate,
    change=_change_certificate,
    remove=lambda call: call.aws.delete_certificate(CertificateArn=call.id),
)


def _issued(call: Call) -> str:
    arn = str(call.given["certificateArn"])

    def over() -> bool:
        found = call.aws.describe_certificate(CertificateArn=arn)["Certificate"]
        return bool(found["Status"] == "ISSUED")

    call.wait(over, f"the certificate {arn}")
    return arn


VALIDATION: Final = Row(
    service="acm",
    inputs=names("certificateArn validationRecordFqdns"),
    required=names("certificateArn"),
    replaces=names("certificateArn validationRecordFqdns"),
    sets=names("validationRecordFqdns"),
    silent=names("validationRecordFqdns"),
    make=_issued,
    find=lambda call: {"certificateArn": call.aws.describe_certificate(CertificateArn=call.id) and call.id},
    change=nothing_changes,
    remove=lambda _: None,
)
