"""boto3's clients, one of each service for all calls: making one reads the service's model."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

import boto3
from botocore.config import Config

_ONE_AT_A_TIME = threading.Lock()


def client_of(service: str, region: str) -> Any:
    """Of AWS_ENDPOINT_URL, without which nothing is asked: this plugin is for tests alone."""
    with _ONE_AT_A_TIME:
        return _client(service, region, os.environ["AWS_ENDPOINT_URL"])


@functools.cache
def _client(service: str, region: str, url: str) -> Any:
    config = Config(
        retries={"total_max_attempts": 3}, s3={"addressing_style": "path"}, max_pool_connections=32
    )
    session: Any = boto3.session.Session(region_name=region)  # its stubs know services by literal names alone
    return session.client(service, endpoint_url=url, config=config)
