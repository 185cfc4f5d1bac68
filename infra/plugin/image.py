"""`docker:index/image:Image`: an image that is built, by the Docker CLI with BuildKit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import docker

from infra.content import content_hash
from infra.plugin.properties import Properties, has_unknown
from infra.plugin.remote_image import inspect_image
from infra.plugin.resource import Context, MissingError, PluginError, Traits
from infra.plugin.settled import settle_image

LINES_SHOWN = 40
"""How much of a failed build's output its error carries."""

TRIES = 4
"""Another deployment that has built the same takes what it built away, and with it a name that came in between: then it
is built again, from what the engine has."""

HIDDEN_LETTERS = 8
"""Shorter lines of an argument may be any line's part, and are hidden as whole lines alone."""

PREPARING = re.compile(
    r"#\d+ (?:sha256:|\[internal\]|transferring |resolve |DONE|CACHED|\.\.\.$|\[[^\]]*\] FROM )"
)
"""Lines about steps that no Dockerfile has, and about images that are only built upon."""


class ImageType:
    """Built again whenever its context, Dockerfile or arguments change; never pushed; kept, as officially."""

    traits = Traits(
        inputs=frozenset({"imageName", "build", "skipPush", "buildOnPreview"}),
        required=frozenset({"imageName"}),
        in_place=frozenset({"imageName", "build", "skipPush", "buildOnPreview"}),
        computed=frozenset({"repoDigest"}),
    )

    def check(self, inputs: Properties) -> Mapping[str, Any]:
        if not inputs.get("skipPush"):
            raise PluginError("this plugin pushes no images: set skipPush, or use the official docker plugin")
        build = dict(inputs.get("build") or {})
        context, dockerfile = _paths(build)
        if not dockerfile.is_file():
            raise PluginError(f"there is no Dockerfile at {dockerfile}")
        arguments = build.get("args") or {}
        known = {} if has_unknown(arguments) else arguments
        return {"build": {**build, "contextDigest": content_hash(context, dockerfile, known)}}

    def create(self, context: Context, inputs: Properties) -> tuple[str, Properties]:
        return inputs["imageName"], self._build(context, inputs)

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:  # noqa: ARG002
        try:
            return self._outputs(context, inputs)
        except docker.errors.NotFound:
            raise MissingError from None

    def update(
        self,
        context: Context,
        resource_id: str,  # noqa: ARG002
        inputs: Properties,
        state: Properties,  # noqa: ARG002
    ) -> Properties:
        return self._build(context, inputs)

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:  # noqa: ARG002
        return

    def _outputs(self, context: Context, inputs: Properties) -> Properties:
        build = inputs.get("build") or {}
        place, dockerfile = _paths(build)
        return {
            "repoDigest": inspect_image(context.api, inputs["imageName"])["Id"],
            "baseImageName": inputs["imageName"],
            "context": build.get("context", "."),
            "dockerfile": os.path.relpath(dockerfile, place),
            "registryServer": "",
        }

    def _build(self, context: Context, inputs: Properties) -> Properties:
        build = inputs.get("build") or {}
        place, dockerfile = _paths(build)
        arguments = {str(key): str(value) for key, value in (build.get("args") or {}).items()}
        command = [
            "docker",
            "build",
            "--progress",
            "plain",
            "--tag",
            inputs["imageName"],
            "--file",
            str(dockerfile),
        ]
        if build.get("target"):
            command += ["--target", build["target"]]
        if build.get("platform"):
            command += ["--platform", build["platform"]]
        # A name without a value has the CLI take it from its environment: a long one would not fit its command line.
        command += [part for key in arguments for part in ("--build-arg", key)]
        environment = {**os.environ, **arguments, "DOCKER_BUILDKIT": "1"}
        if context.host:
            environment["DOCKER_HOST"] = context.host
        shown = Shown(arguments.values())
        for left in reversed(range(TRIES)):
            _run(context, [*command, str(place)], environment, inputs["imageName"], shown)
            if "SOURCE_DATE_EPOCH" not in arguments:
                break
            try:
                settle_image(context.api, inputs["imageName"])
                break
            except docker.errors.ImageNotFound:
                if not left:
                    raise
        return self._outputs(context, inputs)


def _paths(build: Mapping[str, Any]) -> tuple[Path, Path]:
    place = Path(build.get("context") or ".")
    return place, Path(build["dockerfile"]) if build.get("dockerfile") else place / "Dockerfile"


def _end_when_cancelled(process: subprocess.Popen[str], cancelled: threading.Event) -> None:
    while process.poll() is None:
        if cancelled.wait(0.2):
            os.killpg(process.pid, signal.SIGTERM)
            return


class Shown:
    """Which lines of a build's output are for people. BuildKit writes an argument's value into the step that uses it: a
    bundle of certificates would be hundreds of them. `values`: of the arguments."""

    def __init__(self, values: Iterable[str]) -> None:
        lines = {line.strip() for value in values if "\n" in value for line in value.splitlines()}
        self._whole = frozenset(line for line in lines if line)
        self._hidden = frozenset(line for line in lines if len(line) >= HIDDEN_LETTERS)

    def progress(self, line: str) -> bool:
        """Whether it is shown while the build goes on."""
        return line not in self._whole and not any(hidden in line for hidden in self._hidden)

    def failure(self, line: str) -> bool:
        """Whether it tells why the build failed: not what was fetched, and under which name the builder knows that."""
        return self.progress(line) and not PREPARING.match(line)


def _run(context: Context, command: list[str], environment: dict[str, str], name: str, shown: Shown) -> None:
    context.log.status(context.urn, f"building {name}")
    last: deque[str] = deque(maxlen=LINES_SHOWN)
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        # A build may be silent for minutes, so a thread of its own looks for the user's giving up.
        threading.Thread(target=_end_when_cancelled, args=(process, context.cancelled), daemon=True).start()
        for line in process.stdout or ():
            if (text := line.strip()) and shown.progress(text):
                context.log.status(context.urn, text[:160])
                if shown.failure(text):
                    last.append(text)
    if context.cancelled.is_set():
        raise PluginError(f"building {name} was cancelled")
    if process.returncode != 0:
        raise PluginError(f"building {name} failed:\n" + "\n".join(last))
