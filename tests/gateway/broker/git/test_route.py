"""A real git in the place of a sandbox's, the broker, and a host that is git's own: what gets through, and what not."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from container.git import git_environment
from container.protocol import broker_token, sandbox_token
from gateway.broker.git import sent
from gateway.broker.git.grants import Grant, encrypt_grants
from gateway.broker.git.pkt_lines import line
from gateway.broker.model_api import build_broker
from gateway.model import Session
from gateway.sandboxes.drivers import Sandbox, SandboxState
from tests.gateway.broker.git.git_host import TOKEN, GitHost, run_git
from tests.gateway.broker.test_model_api import serve

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store.dynamo import DynamoStore


async def look(session: str) -> Sandbox:
    return Sandbox(session=session, state=SandboxState.RUNNING, start="start-1")


class Sandboxed:
    """What a sandbox of ada's has: a git that knows the broker, and a folder."""

    def __init__(
        self, folder: Path, settings: Settings, store: DynamoStore, host: GitHost, name: str
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.store = store
        self.host = host
        self.name = name
        self.broker = ""

    @property
    def key(self) -> str:
        return broker_token(sandbox_token(self.settings.sandbox_secret.encode(), "s1"), "s1", "start-1")

    @property
    def env(self) -> dict[str, str]:
        told = {
            "ANTHROPIC_BASE_URL": self.broker,
            "ANTHROPIC_API_KEY": self.key,
            "VF_GIT_HOSTS": ",".join(self.settings.git_hosts),
        }
        return git_environment(told)

    def url(self, repository: str) -> str:
        """As people write it."""
        return f"http://{self.name}/{repository}.git"

    async def git(self, *arguments: str, at: Path | None = None, check: bool = True) -> str:
        return await asyncio.to_thread(run_git, at or self.folder, *arguments, env=self.env, check=check)

    async def clone(self, repository: str = "acme/site") -> Path:
        await self.git("clone", "-q", self.url(repository), "it")
        return self.folder / "it"

    async def commit(self, text: str, at: Path) -> None:
        (at / "README").write_text(text)
        await self.git("commit", "-qam", "another", at=at)

    async def grant(self, **grants: Grant) -> None:
        """`here` is the host's name."""
        keys = await self.store.credential_keys()
        named = {self.name if name == "here" else name: grant for name, grant in grants.items()}
        await self.store.put_settings("ada", {"git": encrypt_grants(keys, "ada", named)})


@contextlib.asynccontextmanager
async def sandboxed(
    folder: Path, store: DynamoStore, settings: Settings, **changes: Any
) -> AsyncIterator[Sandboxed]:
    for name in ("host", "sandbox"):
        (folder / name).mkdir()
    host = GitHost(folder / "host")
    host.make("acme/site")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(host.close)  # behind the server's own end
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", host.handle)
        url = await serve(stack, app)
        settings = replace(settings, **{"git_hosts": (url,), **changes})
        shared = await stack.enter_async_context(aiohttp.ClientSession())
        made = Sandboxed(folder / "sandbox", settings, store, host, url.partition("://")[2])
        made.broker = await serve(stack, build_broker(settings, store, shared, look=look))
        await store.create_session(
            Session(id="s1", owner="ada", title="", created_at=1_700_000_000.0, updated_at=1_700_000_000.0)
        )
        await made.grant(here=Grant(TOKEN))
        yield made


@pytest.fixture
async def sandbox(tmp_path: Path, store: DynamoStore, store_settings: Settings) -> AsyncIterator[Sandboxed]:
    async with sandboxed(tmp_path, store, store_settings) as made:
        yield made


async def test_a_private_repository_is_cloned_changed_and_pushed_and_the_token_is_nowhere(
    sandbox: Sandboxed,
) -> None:
    work = await sandbox.clone()
    await sandbox.commit("changed\n", work)
    said = await sandbox.git("push", "origin", "main", "HEAD:refs/heads/topic", at=work)
    assert "main -> main" in said
    bare = sandbox.host.folder / "acme" / "site.git"
    for branch in ("main", "topic"):
        assert (
            run_git(bare, "log", "-1", "--format=%s %an <%ae>", branch) == "another Ada <ada@example.com>\n"
        )
    await sandbox.git("fetch", "-q", at=work)
    assert "up to date" in await sandbox.git("pull", at=work)
    everything = [await sandbox.git("config", "--list", "--show-origin", at=work), repr(sandbox.env)]
    everything += [
        file.read_bytes().decode("latin-1") for file in sandbox.folder.rglob("*") if file.is_file()
    ]
    assert TOKEN not in "".join(everything)
    assert sandbox.url("acme/site") in await sandbox.git("config", "remote.origin.url", at=work)


async def test_depth_tags_and_many_refs_work(sandbox: Sandboxed) -> None:
    work = await sandbox.clone()
    for number in range(12):
        await sandbox.commit(f"{number}\n" * 2000, work)
    for number in range(300):
        await sandbox.git("tag", f"v{number}", f"HEAD~{number % 12}", at=work)
    await sandbox.git("push", "-q", "--tags", "origin", "main", at=work)
    await sandbox.git("clone", "-q", "--depth", "1", sandbox.url("acme/site"), "shallow")
    shallow = sandbox.folder / "shallow"
    assert await sandbox.git("rev-list", "--count", "HEAD", at=shallow) == "1\n"
    await sandbox.git("fetch", "-q", "--unshallow", at=shallow)
    assert await sandbox.git("rev-list", "--count", "HEAD", at=shallow) == "13\n"
    await sandbox.git("fetch", "-q", "--tags", at=shallow)
    # What a fetch says is packed by git itself when it is long; it goes on as it came.
    assert any(request.headers.get("Content-Encoding") == "gzip" for request in sandbox.host.requests)


async def test_submodules_and_public_repositories_are_reached_the_same_way(sandbox: Sandboxed) -> None:
    sandbox.host.make("public/lib")
    work = await sandbox.clone()
    await sandbox.git(
        "-c", "protocol.file.allow=never", "submodule", "add", "-q", sandbox.url("public/lib"), "lib", at=work
    )
    await sandbox.git("commit", "-qm", "with a library", at=work)
    await sandbox.git("push", "-q", at=work)
    await sandbox.git("clone", "-q", "--recurse-submodules", sandbox.url("acme/site"), "again")
    assert (sandbox.folder / "again" / "lib" / "README").read_text() == "hello\n"


@pytest.mark.parametrize(
    "words", [("--force", "HEAD:main"), (":topic",), ("+HEAD:topic", "HEAD:new"), ("--mirror",)]
)
async def test_what_loses_commits_is_refused_whole_and_git_says_why(
    sandbox: Sandboxed, words: tuple[str, ...]
) -> None:
    work = await sandbox.clone()
    await sandbox.commit("one\n", work)
    await sandbox.git("push", "-q", "origin", "HEAD:main", "HEAD:topic", at=work)
    bare = sandbox.host.folder / "acme" / "site.git"
    before = run_git(bare, "show-ref")
    await sandbox.git("reset", "-q", "--hard", "HEAD~1", at=work)
    await sandbox.commit("other\n", work)
    if words == ("--mirror",):
        await sandbox.git("branch", "-q", "-m", "main", "renamed", at=work)
    said = await sandbox.git("push", "origin", *words, at=work, check=False)
    assert "the broker lets no push through that" in said
    assert run_git(bare, "show-ref") == before


async def test_a_commit_that_only_looks_like_a_child_loses_nothing(sandbox: Sandboxed) -> None:
    work = await sandbox.clone()
    bare = sandbox.host.folder / "acme" / "site.git"
    before = run_git(bare, "show-ref")
    was, tree = (run_git(work, "rev-parse", name).strip() for name in ("HEAD", "HEAD^{tree}"))
    people = "author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n"
    (work / "forged").write_text(f"tree {tree}\n{people}parent {was}\n\nforged\n")
    forged = run_git(work, "hash-object", "-t", "commit", "--literally", "-w", "forged").strip()
    assert run_git(work, "rev-list", "--count", forged) == "1\n"
    said = await sandbox.git("push", "--force", "origin", f"{forged}:main", at=work, check=False)
    assert "forced push" in said
    assert run_git(bare, "show-ref") == before


async def test_a_push_with_options_goes_through(sandbox: Sandboxed) -> None:
    bare = sandbox.host.folder / "acme" / "site.git"
    run_git(bare, "config", "receive.advertisePushOptions", "true")
    hook = bare / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\necho "$GIT_PUSH_OPTION_0" >options\n')
    hook.chmod(0o755)
    work = await sandbox.clone()
    await sandbox.commit("next\n", work)
    await sandbox.git("push", "-q", "-o", "ci.skip", "origin", "HEAD:main", at=work)
    assert (bare / "options").read_text() == "ci.skip\n"


async def test_a_stack_may_allow_it(tmp_path: Path, store: DynamoStore, store_settings: Settings) -> None:
    async with sandboxed(tmp_path, store, store_settings, git_force_push=True) as sandbox:
        work = await sandbox.clone()
        await sandbox.git("push", "-q", "origin", "HEAD:topic", at=work)
        await sandbox.git("commit", "-q", "--amend", "-m", "anew", at=work)
        await sandbox.git("push", "-q", "--force", "origin", "HEAD:main", ":topic", at=work)
        bare = sandbox.host.folder / "acme" / "site.git"
        assert run_git(bare, "for-each-ref", "--format=%(refname) %(subject)") == "refs/heads/main anew\n"


async def test_a_branch_goes_forward_to_what_the_host_has_already(sandbox: Sandboxed) -> None:
    """None of these commits is in the push: the host is asked for them."""
    work = await sandbox.clone()
    await sandbox.git("push", "-q", "origin", "HEAD:release", "HEAD:topic", at=work)
    for number in range(3):
        await sandbox.commit(f"next {number}\n", work)
    await sandbox.git("push", "-q", "origin", "HEAD:main", at=work)
    assert "HEAD -> release" in await sandbox.git("push", "origin", "HEAD:release", at=work)
    await sandbox.commit("on top of what is there\n", work)
    assert "HEAD -> topic" in await sandbox.git("push", "origin", "HEAD:topic", at=work)
    bare = sandbox.host.folder / "acme" / "site.git"
    before = run_git(bare, "show-ref")
    for back in ("HEAD~1:topic", "HEAD~3:main"):
        said = await sandbox.git("push", "--force", "origin", back, at=work, check=False)
        assert "the broker lets no push through that" in said
    assert run_git(bare, "show-ref") == before


async def test_a_host_that_does_not_say_is_not_believed(sandbox: Sandboxed) -> None:
    work = await sandbox.clone()
    bare = sandbox.host.folder / "acme" / "site.git"
    await sandbox.git("push", "-q", "origin", "HEAD:release", at=work)
    await sandbox.commit("next\n", work)
    await sandbox.git("push", "-q", "origin", "HEAD:main", at=work)
    run_git(bare, "config", "uploadpack.allowFilter", "false")
    before = run_git(bare, "show-ref")
    said = await sandbox.git("push", "origin", "HEAD:release", at=work, check=False)
    assert "the broker lets no push through that" in said
    assert run_git(bare, "show-ref") == before


async def test_merges_of_many_commits_with_deltas_go_through(sandbox: Sandboxed) -> None:
    work = await sandbox.clone()
    lines = "".join(f"a line with words {number}\n" for number in range(3000))
    for number in range(40):
        (work / "README").write_text(lines + f"{number}\n")
        await sandbox.git(
            "commit", "-qam", f"{number}\n\n" + "the same long text in each message\n" * 60, at=work
        )
    await sandbox.git("checkout", "-q", "-b", "side", "HEAD~20", at=work)
    (work / "SIDE").write_text("side")
    await sandbox.git("add", ".", at=work)
    await sandbox.git("commit", "-qm", "side", at=work)
    await sandbox.git("checkout", "-q", "main", at=work)
    await sandbox.git("merge", "-q", "side", at=work)
    await sandbox.git("repack", "-adfq", "--depth=50", "--window=50", at=work)
    said = await sandbox.git("push", "origin", "main", at=work)
    assert "main -> main" in said


@pytest.mark.parametrize(
    ("grants", "said"),
    [
        ({}, "is not among your git hosts: add it in VaporForge's Settings"),
        ({"here": Grant(TOKEN, repositories=("acme/other", "ac"))}, "is not among the repositories"),
        ({"here": Grant("ghp_another-token-that-opens-nothing")}, "does not let your token do this"),
        ({"here": Grant()}, "is not public, or is not there"),
    ],
)
async def test_what_the_user_has_not_allowed_is_refused_with_a_remedy(
    sandbox: Sandboxed, grants: Mapping[str, Grant], said: str
) -> None:
    await sandbox.grant(**grants)
    assert said in await sandbox.git("clone", sandbox.url("acme/site"), "it", check=False)
    assert not (sandbox.folder / "it").exists()


async def test_what_is_not_there_is_told(sandbox: Sandboxed) -> None:
    assert "is not there, or your token" in await sandbox.git(
        "clone", sandbox.url("acme/none"), "it", check=False
    )


async def test_a_stack_may_name_what_is_below_a_path(
    tmp_path: Path, store: DynamoStore, store_settings: Settings
) -> None:
    async with sandboxed(tmp_path, store, store_settings) as sandbox:
        assert sandbox.settings.git_hosts[0].startswith("http://")
    (tmp_path / "more").mkdir()
    # The host of before is gone: whether it is asked at all is what matters.
    async with sandboxed(
        tmp_path / "more", store, store_settings, git_hosts=(f"http://{sandbox.name}/acme",)
    ) as narrow:
        narrow.name = sandbox.name
        await narrow.grant(here=Grant(TOKEN))
        for repository, told in (
            ("evil/site", "is not among the git hosts"),
            ("acme/site", "cannot be reached"),
        ):
            assert told in await narrow.git("ls-remote", narrow.url(repository), check=False)


@pytest.mark.parametrize(
    "path",
    [
        "acme/../../etc/info/refs?service=git-upload-pack",
        "acme/%2e%2e/site.git/info/refs?service=git-upload-pack",
        "acme/site.git/info/refs?service=git-upload-archive",
        "acme/site.git/info/refs",
        "acme/site.git/info/refs?service=git-upload-pack&a=b",
        "acme/site.git/HEAD",
        "acme/site.git/objects/info/packs",
        "acme//site.git/info/refs?service=git-upload-pack",
        "acme/site%0d%0aX:%20y/info/refs?service=git-upload-pack",
        "@evil.example/site.git/info/refs?service=git-upload-pack",
        "",
    ],
)
async def test_nothing_but_gits_own_requests_reaches_a_host(sandbox: Sandboxed, path: str) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {sandbox.key}"}) as http:
        url = URL(f"{sandbox.broker}/git/{sandbox.name}/{path}", encoded=True)
        async with http.get(url) as answer:
            assert answer.status == 404
    assert not sandbox.host.requests


async def test_other_hosts_and_other_keys_reach_nothing(sandbox: Sandboxed) -> None:
    refs = "acme/site.git/info/refs?service=git-upload-pack"
    other = broker_token(sandbox_token(b"x" * 40, "s1"), "s1", "start-1")
    ended = broker_token(sandbox_token(sandbox.settings.sandbox_secret.encode(), "s1"), "s1", "start-0")
    async with aiohttp.ClientSession() as http:
        for key, host in (
            (sandbox.key, "evil.example"),
            (sandbox.key, "169.254.169.254"),
            (other, sandbox.name),
            (ended, sandbox.name),
            ("", sandbox.name),
        ):
            headers = {"Authorization": f"Bearer {key}"}
            async with http.get(f"{sandbox.broker}/git/{host}/{refs}", headers=headers) as answer:
                assert answer.status == 403
                assert (await answer.text()).startswith("VaporForge: ")
    assert not sandbox.host.requests


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (302, {"Location": "http://169.254.169.254/"}, "has moved"),
        (500, {}, "does not answer as a git host does"),
        (200, {"Content-Type": "text/html"}, "does not answer as a git host does"),
        (429, {}, "is asked too much"),
    ],
)
async def test_what_is_no_git_hosts_answer_is_never_handed_on(
    sandbox: Sandboxed, status: int, headers: Mapping[str, str], said: str
) -> None:
    sandbox.host.answer = web.Response(status=status, headers=headers, body=b"<b>secret page</b>")
    told = await sandbox.git("ls-remote", sandbox.url("acme/site"), check=False)
    assert said in told
    assert "secret page" not in told


async def test_an_endless_answer_is_cut_off(
    tmp_path: Path, store: DynamoStore, store_settings: Settings
) -> None:
    async with sandboxed(tmp_path, store, store_settings, git_fetch_mb=1) as sandbox:
        bare = sandbox.host.folder / "acme" / "site.git"
        work = await sandbox.clone()
        (work / "large").write_bytes(
            b"".join(bytes([n % 251]) + n.to_bytes(4, "big") for n in range(700_000))
        )
        await sandbox.git("add", ".", at=work)
        await sandbox.git("commit", "-qm", "large", at=work)
        run_git(work, "-c", "core.compression=0", "push", "-q", str(bare), "main")
        said = await sandbox.git("clone", sandbox.url("acme/site"), "again", check=False)
        assert "fatal" in said
        assert not (sandbox.folder / "again" / "large").exists()


async def test_a_push_that_is_too_large_is_not_taken(
    tmp_path: Path, store: DynamoStore, store_settings: Settings
) -> None:
    async with sandboxed(tmp_path, store, store_settings, git_push_mb=1) as sandbox:
        work = await sandbox.clone()
        (work / "large").write_bytes(b"".join(n.to_bytes(4, "big") * 2 for n in range(300_000)))
        await sandbox.git("add", ".", at=work)
        await sandbox.git("commit", "-qm", "large", at=work)
        before = run_git(sandbox.host.folder / "acme" / "site.git", "show-ref")
        said = await sandbox.git("-c", "core.compression=0", "push", "origin", "main", at=work, check=False)
        assert "a push may have 1 MiB at most" in said
        assert run_git(sandbox.host.folder / "acme" / "site.git", "show-ref") == before


@pytest.mark.parametrize("answers", [False, True])
async def test_a_host_that_takes_nothing_of_a_push_is_given_up(
    tmp_path: Path,
    store: DynamoStore,
    store_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    answers: bool,
) -> None:
    monkeypatch.setattr(sent, "TAKEN_SECONDS", 0.3)
    over = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answers:
            kind = b"Content-Type: application/x-git-receive-pack-result\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n" + kind + b"Content-Length: 100\r\n\r\n0000")
        await over.wait()
        writer.close()

    async with await asyncio.start_server(deaf, "127.0.0.1", 0, limit=4096) as server:
        name = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with sandboxed(tmp_path, store, store_settings, git_hosts=(f"http://{name}",)) as sandbox:
            await sandbox.grant(**{name: Grant(TOKEN)})
            head = line(f"{'0' * 40} {'1' * 40} refs/heads/new\0report-status".encode()) + b"0000PACK"
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {sandbox.key}"}) as http:
                url = f"{sandbox.broker}/git/{name}/acme/site.git/git-receive-pack"
                async with http.post(url, data=io.BytesIO(head + bytes(32 << 20))) as answer:
                    assert answer.status == 503
                    assert "cannot be reached (TimeoutError)" in await answer.text()
        over.set()
