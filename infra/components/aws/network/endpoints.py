"""Ways to AWS's own services that stay in the network: S3 and DynamoDB for nothing, the others at a price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.aws.names import tags_of


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsArgs:
    """`services`: those that get interface endpoints, as `ecr.api`, in `subnets`, reached by the members
    of `group`'s clients. `bucket`: the stack's own. `account`: whose credentials are taken. `anything`: whether others
    are taken too, and S3's other buckets: of sandboxes that reach the internet their ways go by here."""

    stack_id: str
    region: str
    account: pulumi.Input[str]
    vpc_id: pulumi.Input[str]
    route_tables: Sequence[pulumi.Input[str]]
    subnets: Sequence[pulumi.Input[str]]
    services: Sequence[str]
    group: pulumi.Input[str] | None
    bucket: pulumi.Input[str]
    anything: bool


class Endpoints(pulumi.ComponentResource):
    """`s3_prefix_list`: the addresses of S3, for security groups."""

    s3_prefix_list: pulumi.Output[str]

    def __init__(self, name: str, args: EndpointsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Endpoints", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        gateways = {}
        usual = _anything() if args.anything else _of_account(args)
        buckets = usual if args.anything else _buckets(args)
        for service, policy in (("s3", buckets), ("dynamodb", usual)):
            gateways[service] = aws.ec2.VpcEndpoint(
                f"{args.stack_id}-{service}",
                vpc_id=args.vpc_id,
                service_name=f"com.amazonaws.{args.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=list(args.route_tables),
                policy=policy,
                tags=tags_of(args.stack_id, service),
                opts=child,
            )
        self.s3_prefix_list = gateways["s3"].prefix_list_id
        for service in args.services:
            part = service.replace(".", "-")
            aws.ec2.VpcEndpoint(
                f"{args.stack_id}-{part}",
                vpc_id=args.vpc_id,
                service_name=f"com.amazonaws.{args.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=list(args.subnets),
                security_group_ids=[args.group] if args.group is not None else [],
                policy=usual,
                tags=tags_of(args.stack_id, part),
                opts=child,
            )
        self.register_outputs({})


def _anything() -> pulumi.Output[str]:
    """Told, and not left out: an endpoint that had another policy would keep it."""
    return pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
        }
    )


def _of_account(args: EndpointsArgs) -> pulumi.Output[str]:
    """With credentials of another account a hostile sandbox could carry data out by them."""
    return pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": "*",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:PrincipalAccount": args.account}},
                }
            ],
        }
    )


def _buckets(args: EndpointsArgs) -> pulumi.Output[str]:
    """The stack's own, and the one that ECR keeps layers in (documented with ECR's endpoints), by signed URLs."""
    bucket = pulumi.Output.from_input(args.bucket)
    partition = bucket.apply(lambda arn: arn.split(":")[1])
    layers = pulumi.Output.concat("arn:", partition, f":s3:::prod-{args.region}-starport-layer-bucket/*")
    return pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [bucket, pulumi.Output.concat(bucket, "/*")],
                    "Condition": {"StringEquals": {"aws:PrincipalAccount": args.account}},
                },
                {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": layers},
            ],
        }
    )
