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

from infra.config import PROJECT, ROOT

ENCRYPTION_KEYS = ("secretsprovider", "encryptedkey", "encryptionsalt")
"""The parts of a stack's file that its secrets cannot be read without."""


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
        folder = Path(base) / "deploy"
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
        project |= {"main": str(ROOT / project["main"]), "runtime": "python"}
        text = yaml.safe_dump(project)
        path = folder / "Pulumi.yaml"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        return folder

    def own_file(self, stack: str) -> Path:
        """This machine's configuration of the stack: what `scripts/up` was told, and the salt."""
        return self.project_folder / f"Pulumi.{stack}.yaml"

    def write_own(self, stack: str, values: Mapping[str, str | None]) -> None:
        """Remember plain configuration; None forgets a key."""
        content = read_yaml(self.own_file(stack))
        config = content.setdefault("config", {})
        for key, value in values.items():
            config.pop(f"{PROJECT}:{key}", None)
            if value is not None:
                config[f"{PROJECT}:{key}"] = value
        self.own_file(stack).write_text(yaml.safe_dump(content), encoding="utf-8")

    def write_merged(self, stack: str, defaults: Mapping[str, str]) -> Path:
        """The file that Pulumi is given. Later wins: `defaults` (without project), the repository's, this machine's."""
        repository, own = (
            read_yaml(ROOT / "infra" / "stacks" / f"Pulumi.{stack}.yaml"),
            read_yaml(self.own_file(stack)),
        )
        config = {f"{PROJECT}:{key}": value for key, value in defaults.items()}
        config |= (repository.get("config") or {}) | (own.get("config") or {})
        encryption = repository if any(key in repository for key in ENCRYPTION_KEYS) else own
        merged = {key: encryption[key] for key in ENCRYPTION_KEYS if key in encryption} | {"config": config}
        path = self.folder / f"Pulumi.{stack}.yaml"
        path.write_text(yaml.safe_dump(merged), encoding="utf-8")
        path.chmod(0o600)
        return path


def machine_defaults(environ: Mapping[str, str], state: Path) -> dict[str, str]:
    """Configuration that follows from the machine: images that the set-up had to make, and its proxy's certificates."""
    found = {}
    for key, name in (("baseImage", "base-image"), ("dynamodbImage", "dynamodb-image")):
        path = state / name
        if path.is_file() and (text := path.read_text(encoding="utf-8").strip()):
            found[key] = text
    if environ.get("VF_CA_BUNDLE"):
        found["caBundle"] = environ["VF_CA_BUNDLE"]
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file; empty when there is no file."""
    if not path.is_file():
        return {}
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _logged_in(environ: Mapping[str, str]) -> bool:
    home = Path(environ.get("PULUMI_HOME") or "~/.pulumi").expanduser()
    try:
        return bool(json.loads((home / "credentials.json").read_text(encoding="utf-8")).get("current"))
    except (OSError, ValueError):
        return False
