"""The package `aws`: a row for each resource type that the program makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from infra.plugin.package import Package
from tests.aws.plugin.functions import FUNCTIONS
from tests.aws.plugin.row import AwsType, Row
from tests.aws.plugin.rows import (
    balancing,
    ec2,
    ec2_ways,
    ecs,
    iam,
    naming,
    s3,
    service,
    store,
    watching,
)

ROWS: Final[Mapping[str, Row]] = {
    "aws:acm/certificate:Certificate": naming.CERTIFICATE,
    "aws:acm/certificateValidation:CertificateValidation": naming.VALIDATION,
    "aws:appautoscaling/policy:Policy": watching.SCALING_POLICY,
    "aws:appautoscaling/target:Target": watching.SCALING_TARGET,
    "aws:cloudwatch/dashboard:Dashboard": watching.DASHBOARD,
    "aws:cloudwatch/logGroup:LogGroup": store.LOG_GROUP,
    "aws:cloudwatch/metricAlarm:MetricAlarm": watching.METRIC_ALARM,
    "aws:dynamodb/table:Table": store.TABLE,
    "aws:ec2/eip:Eip": ec2.EIP,
    "aws:ec2/internetGateway:InternetGateway": ec2.INTERNET_GATEWAY,
    "aws:ec2/natGateway:NatGateway": ec2.NAT_GATEWAY,
    "aws:ec2/route:Route": ec2_ways.ROUTE,
    "aws:ec2/routeTable:RouteTable": ec2_ways.ROUTE_TABLE,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": ec2_ways.ROUTE_TABLE_ASSOCIATION,
    "aws:ec2/securityGroup:SecurityGroup": ec2_ways.SECURITY_GROUP,
    "aws:ec2/subnet:Subnet": ec2.SUBNET,
    "aws:ec2/vpc:Vpc": ec2.VPC,
    "aws:ec2/vpcEndpoint:VpcEndpoint": ec2_ways.VPC_ENDPOINT,
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": ecs.LIFECYCLE_POLICY,
    "aws:ecr/repository:Repository": ecs.REPOSITORY,
    "aws:ecs/cluster:Cluster": ecs.CLUSTER,
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": ecs.CAPACITY_PROVIDERS,
    "aws:ecs/service:Service": service.SERVICE,
    "aws:ecs/taskDefinition:TaskDefinition": ecs.TASK_DEFINITION,
    "aws:iam/role:Role": iam.ROLE,
    "aws:iam/rolePolicy:RolePolicy": iam.ROLE_POLICY,
    "aws:kms/key:Key": iam.KEY,
    "aws:lb/listener:Listener": balancing.LISTENER,
    "aws:lb/loadBalancer:LoadBalancer": balancing.LOAD_BALANCER,
    "aws:lb/targetGroup:TargetGroup": balancing.TARGET_GROUP,
    "aws:route53/record:Record": naming.RECORD,
    "aws:s3/bucket:Bucket": s3.BUCKET,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": s3.LIFECYCLE,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": s3.OWNERSHIP_CONTROLS,
    "aws:s3/bucketPolicy:BucketPolicy": s3.POLICY,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": s3.PUBLIC_ACCESS_BLOCK,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": s3.ENCRYPTION,
    "aws:s3/bucketVersioning:BucketVersioning": s3.VERSIONING,
    "aws:secretsmanager/secret:Secret": store.SECRET,
    "aws:secretsmanager/secretVersion:SecretVersion": store.SECRET_VERSION,
    "aws:servicediscovery/privateDnsNamespace:PrivateDnsNamespace": naming.NAMESPACE,
    "aws:servicediscovery/service:Service": naming.SERVICE,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": ec2_ways.EGRESS_RULE,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": ec2_ways.INGRESS_RULE,
}

UNTOLD: Final[Mapping[str, frozenset[str]]] = {
    "aws:cloudwatch/logGroup:LogGroup": frozenset({"kmsKeyId"}),
    "aws:cloudwatch/metricAlarm:MetricAlarm": frozenset({"tags"}),
    "aws:ec2/eip:Eip": frozenset({"tags"}),
    "aws:ec2/natGateway:NatGateway": frozenset({"allocationId"}),
    "aws:ec2/vpcEndpoint:VpcEndpoint": frozenset({"policy", "privateDnsEnabled", "securityGroupIds"}),
    "aws:ecs/service:Service": frozenset({"availabilityZoneRebalancing"}),
    "aws:lb/listener:Listener": frozenset({"certificateArn", "sslPolicy"}),
    "aws:lb/targetGroup:TargetGroup": frozenset({"protocolVersion"}),
    "aws:servicediscovery/privateDnsNamespace:PrivateDnsNamespace": frozenset({"vpc"}),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": frozenset({"prefixListId"}),
}
"""Inputs that ministack takes and does not tell (and Cloud Map, of a namespace's network): of these alone no refresh
sees drift."""

AWS: Final = Package(
    name="aws",
    version="7.51.1",
    types={token: AwsType(row, UNTOLD.get(token, frozenset())) for token, row in ROWS.items()},
    who="the tests' stand-in for pulumi-aws",
    remedy="it has a row for each type in tests/aws/plugin/types.py",
    configured=frozenset({"region", "version", "skipCredentialsValidation", "skipRegionValidation"}),
    functions=FUNCTIONS,
)
