"""A ministack in a container with all that completes it: one in which a service's tasks run behind a load balancer."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3

from tests.aws.cloud.balancer import StandInBalancer
from tests.aws.cloud.inventory import REGION
from tests.aws.cloud.ministack import Cloud, cloud
from tests.aws.cloud.repeated import repeated
from tests.aws.cloud.served import served
from tests.aws.cloud.services import StandInFront, StandInServices

if TYPE_CHECKING:
    from collections.abc import Iterator

CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass(frozen=True, slots=True)
class WholeCloud:
    """`url`: where AWS is asked, of this machine and of the tasks alike."""

    bare: Cloud
    balancer: StandInBalancer
    url: str


@contextlib.contextmanager
def whole_cloud(proxy_image: str) -> Iterator[WholeCloud]:
    """`proxy_image`: our HAProxy's."""
    with contextlib.ExitStack() as stack:
        bare = stack.enter_context(cloud())
        ecs, elbv2 = (stack.enter_context(_client(service, bare.url)) for service in ("ecs", "elbv2"))
        balancer = StandInBalancer(bare, proxy_image, elbv2)
        stack.callback(balancer.close)
        services = StandInServices(bare, balancer, ecs, elbv2)
        [network] = bare.api.inspect_network(bare.network)["IPAM"]["Config"]
        url = stack.enter_context(served(StandInFront(bare.url, services).app(), network["Gateway"]))
        services.environment = {**CREDENTIALS, "AWS_ENDPOINT_URL_ECS": url}

        def step() -> None:
            balancer.follow()
            services.step()

        with repeated(step, "completion"):
            yield WholeCloud(bare, balancer, url)


@contextlib.contextmanager
def _client(service: str, url: str) -> Iterator[Any]:
    session: Any = boto3.session.Session("test", "test", region_name=REGION)
    with contextlib.closing(session.client(service, endpoint_url=url)) as client:
        yield client
