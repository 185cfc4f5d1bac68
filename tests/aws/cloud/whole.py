"""A ministack in a container with all that completes it: one in which a service's tasks run behind a load balancer."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
from aiohttp import web
from botocore.config import Config

from tests.aws.cloud.balancer import StandInBalancer
from tests.aws.cloud.completion import StandInCompletion
from tests.aws.cloud.inventory import REGION
from tests.aws.cloud.ministack import Cloud, cloud
from tests.aws.cloud.repeated import Repeated
from tests.aws.cloud.served import served
from tests.aws.cloud.services import StandInServices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

OPERATIONS: Final = frozenset({"CreateService", "UpdateService", "DeleteService", "DescribeServices"})
"""Those that StandInServices answers."""


@dataclass(frozen=True, slots=True)
class WholeCloud:
    """`url`: where AWS is asked, of this machine and of the tasks alike. `check`: raises `RuntimeError` with what has
    ended the stand-ins, once something has."""

    bare: Cloud
    balancer: StandInBalancer
    services: StandInServices
    url: str
    check: Callable[[], None]


class StandInFront(StandInCompletion):
    """What completes ministack, services that run their tasks too."""

    def __init__(self, upstream: str, services: StandInServices, check: Callable[[], None]) -> None:
        """`check`: raises `RuntimeError` when nothing becomes of services any more."""
        super().__init__(upstream)
        self._services = services
        self._check = check

    async def _handle(self, request: web.Request) -> web.Response:
        api, _, operation = request.headers.get("X-Amz-Target", "").rpartition(".")
        if not api.startswith("AmazonEC2ContainerService") or operation not in OPERATIONS:
            return await super()._handle(request)
        try:
            self._check()
        except RuntimeError as error:
            told = {"__type": "ClientException", "message": str(error)}
            return web.json_response(told, status=400, content_type="application/x-amz-json-1.1")
        asked = json.loads(await request.read())
        # ministack itself starts none.
        none = {"desiredCount": 0} if operation in {"CreateService", "UpdateService"} else {}
        status, headers, answer = await self._pass_on(request, json.dumps({**asked, **none}).encode())
        if status == 200:
            answer = json.dumps(self._services.answer(operation, asked, json.loads(answer))).encode()
        return web.Response(status=status, headers=headers, body=answer)


@contextlib.contextmanager
def whole_cloud(proxy_image: str) -> Iterator[WholeCloud]:
    """`proxy_image`: our HAProxy's."""
    with contextlib.ExitStack() as stack:
        bare = stack.enter_context(cloud())
        elbv2 = stack.enter_context(_client("elbv2", bare.url))
        balancer = StandInBalancer(bare, proxy_image, elbv2)
        stack.callback(balancer.close)
        services = StandInServices(bare, balancer, elbv2)

        def step() -> None:
            balancer.follow()
            services.step()

        steps = Repeated(step, "the stand-in for services and their balancer")
        [network] = bare.api.inspect_network(bare.network)["IPAM"]["Config"]
        front = StandInFront(bare.url, services, steps.check)
        url = stack.enter_context(served(front.app(), network["Gateway"]))
        ecs = stack.enter_context(_client("ecs", url))
        services.begin(ecs, {**CREDENTIALS, "AWS_ENDPOINT_URL_ECS": url})
        with steps:
            yield WholeCloud(bare, balancer, services, url, steps.check)


@contextlib.contextmanager
def _client(service: str, url: str) -> Iterator[Any]:
    session: Any = boto3.session.Session("test", "test", region_name=REGION)
    # What is not answered then is asked by the next step.
    twice = Config(retries={"total_max_attempts": 2})
    with contextlib.closing(session.client(service, endpoint_url=url, config=twice)) as client:
        yield client
