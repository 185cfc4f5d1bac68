"""The `aws` target: ECS Fargate behind a load balancer, with DynamoDB and S3; it only puts the parts together."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pulumi_aws as aws

from infra.config import Settings
from infra.cost import capacity
from infra.cost.money import cost
from infra.images import check_page
from infra.rules.shape import has_tls, is_protected
from infra.targets.cloud.data import make_data
from infra.targets.cloud.front import make_front
from infra.targets.cloud.place import Place
from infra.targets.cloud.tasks import run_tasks
from infra.targets.common import Deployed, instance_of


def deploy(settings: Settings, root: Path) -> Deployed:
    """Declare the stack's resources; with `running` false only those that hold data, and in a protected stack the load
    balancer. Raises `ConfigError` where the page's libraries are missing."""
    if settings.running:
        check_page(root)
    provider = aws.Provider(f"{settings.stack_id}-aws", region=settings.region)
    options = pulumi.ResourceOptions(providers={"aws": provider})
    identity = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(provider=provider))
    place = Place(
        settings=settings,
        root=root,
        account=identity.account_id,
        partition=identity.arn.apply(lambda arn: arn.split(":")[1]),
        protect=is_protected(settings),
        options=options,
    )
    data = make_data(place)
    front = make_front(place, data) if settings.running or place.protect else None
    images = run_tasks(place, data, front) if settings.running and front is not None else {}
    return Deployed(
        jwt_secret=data.jwt_secret,
        credential_key=data.credential_key,
        instance=data.sandbox_secret.apply(instance_of),
        images=images,
        url=_url(settings, front.alb.host) if settings.running and front is not None else "",
        more={
            "table": data.table_name,
            "bucket": data.bucket.bucket_name,
            "cost": cost(settings),
            "capacity": capacity.on_aws(settings),
        },
    )


def _url(settings: Settings, host: pulumi.Output[str]) -> pulumi.Output[str]:
    scheme = "https" if has_tls(settings) else "http"
    return pulumi.Output.concat(f"{scheme}://", settings.domain or host, settings.base_path)
