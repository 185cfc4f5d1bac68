"""A boto3 client of an endpoint of one's own, or of AWS: what the environment says of AWS counts for AWS alone."""

from __future__ import annotations

import os
from typing import Any, Final, Literal

import boto3
import botocore.session
from botocore.config import Config

_NOTHING: Final = (None, None, None, None)
_NO_FILE: Final = (None, None, os.devnull, None)

ALONE: Final = {
    "profile": _NOTHING,
    "config_file": _NO_FILE,
    "credentials_file": _NO_FILE,
    "use_fips_endpoint": _NOTHING,
    "use_dualstack_endpoint": _NOTHING,
}
"""Of botocore's session variables (name in a file, in the environment, default, conversion): those that a person's
account, and not the endpoint, gives a value."""


def is_own(endpoint: str) -> bool:
    """Whether an endpoint is no service of AWS: that is never plain HTTP."""
    return endpoint.startswith("http://")


def make_client(
    service: Literal["dynamodb", "ecs", "kms", "s3"],
    config: Config,
    *,
    endpoint: str,
    region: str,
    key: str | None = None,
) -> Any:
    """A client; it takes half a second and no request. An endpoint of one's own is asked without a proxy and without
    a profile or file of the environment's. `key`: both parts of the credentials, where any will do."""
    if not is_own(endpoint):
        session = boto3.session.Session(region_name=region or None)
        return session.client(service, endpoint_url=endpoint or None, config=config)
    apart = botocore.session.Session(session_vars=ALONE)
    session = boto3.session.Session(key, key, region_name=region or None, botocore_session=apart)
    # An empty mapping is no proxy; where it lacks, botocore asks the environment.
    return session.client(service, endpoint_url=endpoint, config=config.merge(Config(proxies={})))
