"""The package's types by name."""

from __future__ import annotations

from typing import Final

from infra.plugin.package import Package
from infra.plugin.stack.cleanup import ImageTagType, SandboxContainersType, SessionVolumesType
from infra.plugin.stack.generated import SecretsType
from infra.plugin.stack.limits import ProcessLimitsType
from infra.plugin.stack.secretfiles import SecretFilesType
from infra.plugin.stack.tasks import SandboxTasksType

STACK: Final = Package(
    name="vaporforge-stack",
    version="1.0.0",
    types={
        "vaporforge-stack:index:ImageTag": ImageTagType(),
        "vaporforge-stack:index:ProcessLimits": ProcessLimitsType(),
        "vaporforge-stack:index:SandboxContainers": SandboxContainersType(),
        "vaporforge-stack:index:SandboxTasks": SandboxTasksType(),
        "vaporforge-stack:index:SecretFiles": SecretFilesType(),
        "vaporforge-stack:index:Secrets": SecretsType(),
        "vaporforge-stack:index:SessionVolumes": SessionVolumesType(),
    },
    who="VaporForge's own plugin",
    remedy="it must be of the same clone as the program",
)
