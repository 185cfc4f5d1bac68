"""What a machine keeps of a stack outside of the repository: backend, passphrase and its own configuration."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.cli.errors import CliError
from infra.config import PROJECT, ROOT

ENCRYPTION_KEYS = ("secretsprovider", "encryptedkey", "encryptionsalt")
"""The parts of a stack's file that its secrets cannot be read without."""

# In C where PyYAML was built with libyaml: Pulumi.yaml is read and written again by every command, many times.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True, slots=True)
class State:
    """The folder `deploy` in the project's state folder (`VF_STATE`); its files are this user's alone."""

    folder: Path

    @classmethod
    def of_machine(cls, environ: Mapping[str, str]) -> State:
        """Makes the folder when it is not there."""
        base = (
            environ.get("VF_STATE")
            or Path(environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / PROJECT
        )
        folder = Path(base).absolute() / "deploy"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(folder)

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Pulumi's variables that are not set yet: a file backend where there is no login, a passphrase of its own."""
        added: dict[str, str] = {}
        if (
            not environ.get("PULUMI_BACKEND_URL")
            and not environ.get("PULUMI_ACCESS_TOKEN")
            and not _logged_in(environ)
        ):
            backend = self.folder / "backend"
            backend.mkdir(mode=0o700, exist_ok=True)
            added["PULUMI_BACKEND_URL"] = backend.as_uri()
        if "PULUMI_CONFIG_PASSPHRASE" not in environ and not environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
            added["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(self._passphrase_file())
        return added

    def _passphrase_file(self) -> Path:
        path = self.folder / "passphrase"
        if not path.exists():
            # Written beside and renamed: a second command at the same time sees all of it or nothing.
            new = path.with_suffix(f".{os.getpid()}")
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secrets.token_urlsafe(32))
            try:
                os.link(new, path)
            except FileExistsError:
                pass
            finally:
                new.unlink()
        return path

    @property
    def project_folder(self) -> Path:
        """The repository's project as Pulumi is given it here: the same program, but stacks' files in this folder.

        Pulumi writes a stack's encryption salt beside its configuration, even when it only reads outputs."""
        folder = self.folder / "project"
        folder.mkdir(mode=0o700, exist_ok=True)
        project = read_yaml(ROOT / "Pulumi.yaml")
        del project["stackConfigDir"]
        runtime = {"name": "python", "options": {"virtualenv": str(ROOT / ".venv")}}
        providers = [item | {"path": str(ROOT / item["path"])} for item in project["plugins"]["providers"]]
        project |= {
            "main": str(ROOT / project["main"]),
            "runtime": runtime,
            "plugins": {"providers": providers},
        }
        text = _yaml(project)
        path = folder / "Pulumi.yaml"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        return folder

    def own_file(self, stack: str) -> Path:
        """This machine's configuration of the stack: what `scripts/up` was told, and the salt."""
        return self.project_folder / f"Pulumi.{stack}.yaml"

    def write_own(self, stack: str, values: Mapping[str, str | None]) -> None:
        """Remember plain configuration; None forgets a key."""
        content = _with_values(read_yaml(self.own_file(stack)), values)
        self.own_file(stack).write_text(_yaml(content), encoding="utf-8")

    def configured(self, stack: str) -> dict[str, Any]:
        """What is set for the stack, by keys without the project: the repository's file, and over it this machine's."""
        config = _config(read_yaml(repository_file(stack)), read_yaml(self.own_file(stack)))
        ours = f"{PROJECT}:"
        return {key.removeprefix(ours): value for key, value in config.items() if key.startswith(ours)}

    def check_one_salt(self, stack: str, *, more_secrets: bool = False) -> None:
        """Raises `CliError` when the repository's file and this machine's both have secrets, each with a key of its
        own: Pulumi takes one key for both. `more_secrets`: this machine's is about to get one."""
        repository, own = read_yaml(repository_file(stack)), read_yaml(self.own_file(stack))
        ours = more_secrets or _has_secrets(own)
        if _has_secrets(repository) and ours and _encryption(repository) != _encryption(own):
            raise CliError(
                f"{repository_file(stack)} has secrets, and those of scripts/up --secret, in {self.own_file(stack)}, "
                "are encrypted with another salt; a stack's secrets must be in one of them. Keep them in the "
                f"repository's: cd {ROOT} && pulumi config set --secret {PROJECT}:KEY -s {stack}, and scripts/up --set "
                "KEY= for what the other has; or keep them there: take every `secure:` out of the repository's file, "
                "then scripts/up --secret KEY"
            )

    def write_merged(
        self,
        stack: str,
        defaults: Mapping[str, str],
        changes: Mapping[str, str] | None = None,
        planned: Mapping[str, str | None] | None = None,
    ) -> Path:
        """The file that Pulumi is given. Later wins: `defaults`, the repository's, this machine's, `changes` (the first
        and the last by keys without the project). `planned`: for a preview, a file of its own with what `write_own`
        would be told. Raises `CliError` as `check_one_salt` does."""
        self.check_one_salt(stack)
        repository, own = read_yaml(repository_file(stack)), read_yaml(self.own_file(stack))
        own = _with_values(own, planned or {})
        config = {f"{PROJECT}:{key}": value for key, value in defaults.items()}
        config |= _config(repository, own)
        config |= {f"{PROJECT}:{key}": value for key, value in (changes or {}).items()}
        encryption = _encryption(own) if _has_secrets(own) else _encryption(repository) or _encryption(own)
        merged = encryption | {"config": config}
        path = self.folder / f"Pulumi.{stack}{'' if planned is None else '.preview'}.yaml"
        path.write_text(_yaml(merged), encoding="utf-8")
        path.chmod(0o600)
        return path


def machine_defaults(environ: Mapping[str, str], state: Path, *, elsewhere: bool = False) -> dict[str, str]:
    """Configuration that follows from the machine: images that the set-up had to make, and its proxy's certificates.

    `elsewhere`: the stack names an engine of its own, which has none of these images."""
    found = {}
    made = () if elsewhere else (("baseImage", "base-image"), ("dynamodbImage", "dynamodb-image"))
    for key, name in made:
        path = state / name
        if path.is_file() and (text := path.read_text(encoding="utf-8").strip()):
            found[key] = text
    if environ.get("VF_CA_BUNDLE"):
        found["caBundle"] = environ["VF_CA_BUNDLE"]
    return found


def repository_file(stack: str) -> Path:
    """The repository's configuration of the stack, which need not be there."""
    return ROOT / "infra" / "stacks" / f"Pulumi.{stack}.yaml"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file; empty when there is no file."""
    if not path.is_file():
        return {}
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe one
    return content if isinstance(content, dict) else {}


def _yaml(content: Mapping[str, Any]) -> str:
    return str(yaml.dump(content, Dumper=_Dumper))


def _with_values(content: dict[str, Any], values: Mapping[str, str | None]) -> dict[str, Any]:
    config = dict(content.get("config") or {})
    for key, value in values.items():
        config.pop(f"{PROJECT}:{key}", None)
        if value is not None:
            config[f"{PROJECT}:{key}"] = value
    return {**content, "config": config}


def _config(*files: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for file in files for key, value in (file.get("config") or {}).items()}


def _encryption(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: content[key] for key in ENCRYPTION_KEYS if key in content}


def _has_secrets(content: Mapping[str, Any]) -> bool:
    values = (content.get("config") or {}).values()
    return any(isinstance(value, dict) and "secure" in value for value in values)


def _logged_in(environ: Mapping[str, str]) -> bool:
    home = Path(environ.get("PULUMI_HOME") or "~/.pulumi").expanduser()
    try:
        return bool(json.loads((home / "credentials.json").read_text(encoding="utf-8")).get("current"))
    except (OSError, ValueError):
        return False
