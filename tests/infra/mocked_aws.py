"""What AWS would answer to the program: ids, ARNs and names, each of the form that its service gives."""

from __future__ import annotations

import hashlib
from typing import Any, Final

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
PASSWORD: Final = "password-of-the-registry"

AWS_CALLS: Final[dict[str, dict[str, Any]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {
        "accountId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:user/deployer",
        "id": ACCOUNT,
        "userId": "AIDA",
    },
    "aws:index/getAvailabilityZones:getAvailabilityZones": {
        "id": REGION,
        "names": [f"{REGION}{letter}" for letter in "abcd"],
        "zoneIds": [],
        "groupNames": [],
        "state": "available",
        "region": REGION,
    },
    "aws:ecr/getAuthorizationToken:getAuthorizationToken": {
        "authorizationToken": "token",
        "userName": "AWS",
        "password": PASSWORD,
        "proxyEndpoint": f"https://{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com",
        "expiresAt": "",
        "id": REGION,
        "region": REGION,
    },
    "aws:ec2/getPrefixList:getPrefixList": {
        "id": "pl-existing0",
        "name": f"com.amazonaws.{REGION}.s3",
        "cidrBlocks": [],
        "region": REGION,
    },
    "aws:ec2/getVpc:getVpc": {"id": "vpc-12345678", "cidrBlock": "10.9.0.0/16", "region": REGION},
}
"""Answers to the program's questions, by function."""

_IDS: Final = {
    "ec2/vpc:Vpc": "vpc-",
    "ec2/subnet:Subnet": "subnet-",
    "ec2/securityGroup:SecurityGroup": "sg-",
    "ec2/routeTable:RouteTable": "rtb-",
    "ec2/vpcEndpoint:VpcEndpoint": "vpce-",
}
"""Of EC2, by how they begin."""

_ARNS: Final = {
    "ecs/cluster:Cluster": "ecs:{region}:{account}:cluster/{name}",
    "ecs/taskDefinition:TaskDefinition": "ecs:{region}:{account}:task-definition/{name}:1",
    "dynamodb/table:Table": "dynamodb:{region}:{account}:table/{name}",
    "s3/bucket:Bucket": "s3:::{name}",
    "kms/key:Key": "kms:{region}:{account}:key/{name}",
    "secretsmanager/secret:Secret": "secretsmanager:{region}:{account}:secret:{name}",
    "cloudwatch/logGroup:LogGroup": "logs:{region}:{account}:log-group:{name}",
    "ecr/repository:Repository": "ecr:{region}:{account}:repository/{name}",
    "iam/role:Role": "iam::{account}:role/{name}",
    "lb/loadBalancer:LoadBalancer": "elasticloadbalancing:{region}:{account}:loadbalancer/app/{name}/1",
    "lb/targetGroup:TargetGroup": "elasticloadbalancing:{region}:{account}:targetgroup/{name}/1",
    "servicediscovery/service:Service": "servicediscovery:{region}:{account}:service/{name}",
    "acm/certificate:Certificate": "acm:{region}:{account}:certificate/{name}",
}
"""After `arn:aws:`."""


def aws_made(kind: str, name: str, outputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The id and the outputs of a resource of this type."""
    kind = kind.removeprefix("aws:")
    resource_id = f"{name}-id"
    if kind in _IDS:
        resource_id = _IDS[kind] + hashlib.sha256(name.encode()).hexdigest()[:17]
    outputs.setdefault("name", outputs.get("family") or f"{name}-0abcdef")
    if kind in _ARNS:
        arn = _ARNS[kind].format(region=REGION, account=ACCOUNT, name=outputs["name"])
        outputs |= {"arn": f"arn:aws:{arn}", "arnSuffix": arn.partition("/")[2]}
    match kind:
        case "s3/bucket:Bucket":
            outputs["bucket"] = outputs["name"]
        case "ec2/vpcEndpoint:VpcEndpoint":
            outputs["prefixListId"] = f"pl-{name}"
        case "ecr/repository:Repository":
            outputs["repositoryUrl"] = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{outputs['name']}"
        case "secretsmanager/secretVersion:SecretVersion":
            outputs["versionId"] = "version-1"
        case "lb/loadBalancer:LoadBalancer":
            outputs |= {"dnsName": f"{name}.elb.example", "zoneId": "ZALB"}
        case "acm/certificate:Certificate":
            outputs["domainValidationOptions"] = [
                {
                    "domainName": outputs["domainName"],
                    "resourceRecordName": f"_proof.{outputs['domainName']}",
                    "resourceRecordType": "CNAME",
                    "resourceRecordValue": "_proof.acm.example",
                }
            ]
        case "route53/record:Record":
            outputs["fqdn"] = outputs["name"]
    return resource_id, outputs
