"""Certificates that the configuration names: a bundle of authorities, and what the proxy serves."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import Final

from infra.values import ConfigError

CA_BUNDLE_BYTES: Final = 64 * 1024
"""Largest bundle: it travels as a build argument, which Linux limits to 128 KiB (`MAX_ARG_STRLEN`)."""


def read_bundle(key: str, text: str, root: Path) -> str:
    """The bundle in the file that `text` names, below `root` when it is relative."""
    try:
        pem = (root / Path(text).expanduser()).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{key} is {text!r}, which cannot be read ({error}); it must be a PEM file"
        ) from error
    if "-----BEGIN CERTIFICATE-----" not in pem:
        raise ConfigError(f"{key} is {text!r}, which holds no certificate; it must be a PEM file")
    if len(pem.encode()) > CA_BUNDLE_BYTES:
        raise ConfigError(
            f"{key} is {text!r}, which has {len(pem.encode())} bytes; it must have {CA_BUNDLE_BYTES} at most: "
            "name a file with your own certificates only, not the system's whole bundle"
        )
    return pem


def check_served(key: str, pem: str) -> None:
    """Refuse what no server could start with: the running proxy goes before its successor starts."""
    if fault := _fault_of(pem):
        raise ConfigError(
            f"{key} is nothing that the proxy can serve ({fault}); it must be the certificate chain and its private "
            "key, without a passphrase, in one PEM"
        )


class _EncryptedError(Exception):
    pass


def _fault_of(pem: str) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL reads files only. This one is its owner's alone (mode 0600), and gone at the end of the block.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(pem + "\n")
        file.flush()
        try:
            # Without a callback OpenSSL would ask at the terminal for an encrypted key's passphrase.
            context.load_cert_chain(file.name, password=_no_passphrase)
        except ssl.SSLError as error:
            return error.reason or "its certificate or its key is missing or damaged"
        except _EncryptedError:
            return "its key is encrypted"
    return ""


def _no_passphrase() -> str:
    raise _EncryptedError
