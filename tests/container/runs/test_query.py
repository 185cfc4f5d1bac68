"""Queries: every field checked and named; kept in files that only their owner reads, each used once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from container.errors import BadRequest
from container.runs.query import PendingStore, read_query


def query(workspace: Path, **fields: Any) -> dict[str, Any]:
    return read_query(json.dumps({"prompt": "hi", **fields}).encode(), workspace, "session-1")


def test_a_prompt_is_enough(tmp_path: Path) -> None:
    assert query(tmp_path) == {
        "prompt": "hi",
        "sessionId": "session-1",
        "cwd": str(tmp_path),
        "env": {},
        "mode": "agent",
        "model": None,
        "mcpServers": {},
        "sdkSessionId": None,
    }


def test_the_workspace_is_called_workspace_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert query(tmp_path, cwd="/workspace")["cwd"] == str(tmp_path)
    assert query(tmp_path, cwd="/workspace/sub")["cwd"] == str(tmp_path / "sub")
    assert query(tmp_path, cwd="sub")["cwd"] == str(tmp_path / "sub")


def test_a_prompt_of_100000_characters_is_taken(tmp_path: Path) -> None:
    assert len(query(tmp_path, prompt="é" * 100_000)["prompt"]) == 100_000


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "x" * 100_001}, "prompt"),
        ({"sessionId": "a/b"}, "sessionId"),
        ({"sdkSessionId": ["x"]}, "sdkSessionId"),
        ({"cwd": "/no/such/directory"}, "cwd"),
        ({"cwd": 1}, "cwd"),
        ({"cwd": "a\0b"}, "cwd"),
        ({"cwd": "x" * 300}, "cwd"),
        ({"author": "Ada"}, "author"),
        ({"author": {"name": "Ada"}}, "author.email"),
        ({"author": {"name": "", "email": "a@x"}}, "author.name"),
        ({"author": {"name": "A\n[core]", "email": "a@x"}}, "author.name"),
        ({"author": {"name": "A", "email": "x" * 256}}, "author.email"),
        ({"env": []}, "env"),
        ({"env": {"PATH": "/evil"}}, "env.PATH"),
        ({"env": {"LD_PRELOAD": "evil.so"}}, "env.LD_PRELOAD"),
        ({"env": {"VF_SANDBOX_TOKEN": "x"}}, "env.VF_SANDBOX_TOKEN"),
        ({"env": {"A B": "x"}}, "env.A B"),
        ({"env": {"A": 1}}, "env.A"),
        ({"env": {"A": "x\0"}}, "env.A"),
        ({"mode": "root"}, "mode"),
        ({"mode": []}, "mode"),
        ({"model": "a b"}, "model"),
        ({"mcpServers": []}, "mcpServers"),
        ({"mcpServers": {"x": "y"}}, "mcpServers.x"),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as refused:
        query(tmp_path, **fields)
    assert refused.value.field == field


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_object_is_named(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        read_query(body, tmp_path, "s")
    assert refused.value.field == "body"


def test_a_number_of_more_digits_than_python_reads_is_a_bad_field_as_any_other(tmp_path: Path) -> None:
    with pytest.raises(BadRequest) as refused:
        read_query(b'{"prompt":%s}' % (b"1" * 5000), tmp_path, "s")
    assert refused.value.field == "prompt"


def test_a_query_is_kept_for_its_owner_only_and_taken_once(tmp_path: Path) -> None:
    store = PendingStore(tmp_path / "pending", tmp_path / "seed.json")
    assert store.put("r", {"prompt": "secret"})
    assert not store.put("r", {"prompt": "other"})
    files = list((tmp_path / "pending").iterdir())
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600]
    assert (tmp_path / "pending").stat().st_mode & 0o777 == 0o700
    assert not store.is_empty()
    assert store.take("r") == {"prompt": "secret"}
    assert store.take("r") is None
    assert store.is_empty()
    store.drop("r")


def test_a_pending_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError, match="own"):
        PendingStore(tmp_path / "link", tmp_path / "seed.json")


def test_the_seeds_file_is_taken_when_its_writer_is_done(tmp_path: Path) -> None:
    seed = tmp_path / "seed.json"
    store = PendingStore(tmp_path / "pending", seed)
    assert store.take_seed() is None
    seed.touch(mode=0o600)
    seed.write_text('{"prompt": "h')
    with pytest.raises(BadRequest, match="JSON object"):
        store.take_seed()
    seed.write_text('{"prompt": "hi"}\n')
    assert store.take_seed() == b'{"prompt": "hi"}\n'
    assert not seed.exists()


def test_a_link_at_the_seeds_path_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other.json").touch(mode=0o600)
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "seed.json").symlink_to(tmp_path / "other.json")
    with pytest.raises(BadRequest, match="cannot be read"):
        PendingStore(tmp_path / "pending", tmp_path / "seed.json").take_seed()
    assert (tmp_path / "other.json").exists()
