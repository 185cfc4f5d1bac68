"""Git in the sandbox: its hosts are reached through the broker, which puts the user's token in (docs/git.md)."""

from __future__ import annotations

from collections.abc import Mapping


def git_environment(env: Mapping[str, str]) -> dict[str, str]:
    """What has git ask the broker for what is at the hosts of `VF_GIT_HOSTS`, entries of `gitHosts` with commas
    between: nothing where there are none. It is git's configuration on top of every other (git-config(1),
    GIT_CONFIG_COUNT), so that it is there in every shell; the key in it is the sandbox's own, and opens nothing but the
    broker."""
    broker = env.get("ANTHROPIC_BASE_URL", "").rstrip("/")
    entries = [entry.strip() for entry in env.get("VF_GIT_HOSTS", "").split(",") if entry.strip()]
    if not broker or not entries:
        return {}
    key = env.get("ANTHROPIC_API_KEY", "")
    settings = [(f"http.{broker}/git/.extraHeader", f"Authorization: Bearer {key}")]
    for scheme, name in dict.fromkeys(map(_host, entries)):
        instead = f"url.{broker}/git/{name}/.insteadOf"
        settings.append((instead, f"{scheme}://{name}/"))
        if scheme == "https":
            host = name.partition(":")[0]
            settings += [(instead, f"ssh://git@{host}/"), (instead, f"git@{host}:")]
    numbered = {
        f"GIT_CONFIG_{part}_{number}": text
        for number, pair in enumerate(settings)
        for part, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return {"GIT_CONFIG_COUNT": str(len(settings)), "GIT_TERMINAL_PROMPT": "0", **numbered}


def _host(entry: str) -> tuple[str, str]:
    scheme, mark, rest = entry.rpartition("://")
    return (scheme.lower() if mark else "https"), rest.partition("/")[0].lower()
