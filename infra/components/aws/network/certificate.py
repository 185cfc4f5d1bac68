"""A certificate for the stack's domain, proved by a record in its hosted zone."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.aws.names import tags_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateArgs:
    """`hosted_zone`: the id of the zone that `domain` is in."""

    stack_id: str
    domain: str
    hosted_zone: str


class Certificate(pulumi.ComponentResource):
    """`arn`: known once ACM has seen the record, some minutes after it is made. ACM renews by the same record."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Certificate", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        certificate = aws.acm.Certificate(
            f"{args.stack_id}-certificate",
            domain_name=args.domain,
            validation_method="DNS",
            tags=tags_of(args.stack_id, "certificate"),
            # A listener has one until the next is there.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=False),
        )
        asked = certificate.domain_validation_options[0]
        record = aws.route53.Record(
            f"{args.stack_id}-validation",
            zone_id=args.hosted_zone,
            name=asked.resource_record_name,
            type=asked.resource_record_type,
            records=[asked.resource_record_value],
            ttl=60,
            # Another certificate of the same name asks for the same record.
            allow_overwrite=True,
            opts=child,
        )
        proved = aws.acm.CertificateValidation(
            f"{args.stack_id}-validated",
            certificate_arn=certificate.arn,
            validation_record_fqdns=[record.fqdn],
            opts=child,
        )
        self.arn = proved.certificate_arn
        self.register_outputs({})
