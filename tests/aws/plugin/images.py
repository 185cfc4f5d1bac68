"""Images of the aws program without a registry: there is none here that could be pushed to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from infra.plugin.image import ImageType
from infra.plugin.package import Package
from infra.plugin.properties import Properties
from infra.plugin.resource import Context, Traits
from infra.plugin.standin import VERSION

_REGISTRY: Final = frozenset({"registry"})


class _NeverPushed(ImageType):
    """Takes what the program says of a registry, and does nothing with it. Its build's inputs are the stand-in's: a
    changed file is a changed image."""

    traits = Traits(
        inputs=ImageType.traits.inputs | _REGISTRY,
        required=ImageType.traits.required,
        in_place=ImageType.traits.in_place | _REGISTRY,
        computed=ImageType.traits.computed,
    )

    def check(self, inputs: Properties) -> Mapping[str, Any]:
        return super().check({**inputs, "skipPush": True})


class UnbuiltImageType(_NeverPushed):
    """Only named: its digest is of its content, as if it had been built and pushed."""

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:
        """There is nothing that could be gone."""
        return _named(inputs)

    def _build(self, context: Context, inputs: Properties) -> Properties:
        return _named(inputs)


class LocalImageType(_NeverPushed):
    """Built by this machine's engine under the name that it would have in ECR. What a task is started from is its id,
    which the engine that runs the tasks has: a digest is given by a registry alone."""


def _named(inputs: Properties) -> Properties:
    repository = inputs["imageName"].rpartition(":")[0]
    return {"repoDigest": f"{repository}@sha256:{inputs['build']['contextDigest']}"}


def package(image: ImageType) -> Package:
    """pulumi-docker's, with images alone."""
    return Package(
        name="docker",
        version=VERSION,
        types={"docker:index/image:Image": image},
        who="this stand-in for tests",
        remedy="the program of the aws target makes images alone",
        configured=frozenset({"host", "version"}),
    )
