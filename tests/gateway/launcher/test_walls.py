"""The walls inside a sandbox on a real engine: what the agent's uid cannot do, and what works across the two uids."""

from __future__ import annotations

import asyncio
import io
import json
import shlex
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway.launcher import spec
from gateway.launcher.confinement import MASKED, seccomp_profile
from tests.gateway.sandboxes.drivers.docker_bench import DockerBench, agent_image
from tests.gateway.sandboxes.drivers.driver_conformance import Probe, probe, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.sandboxes.drivers import Sandbox

__all__ = ["agent_image", "probe", "session"]

on_docker = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.timeout(600)]

PYTHON = "/opt/venv/bin/python"
TRIES = Path(__file__).with_name("tries.py")
AGENT = f"{spec.AGENT_UID}"
COMMANDS = "for of in /proc/[0-9]*; do echo ${of#/proc/} $(tr '\\0' ' ' <$of/cmdline); done 2>/dev/null; true"
ENDLESS = "count to 100000 every 20 ms"


# -- the profile, as a text -------------------------------------------------------------------------------------------


def test_the_profile_refuses_what_it_does_not_name() -> None:
    profile = json.loads(seccomp_profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert [arch["subArchitectures"] for arch in profile["archMap"]] == [
        [],
        [],
    ]  # 32-bit calls pass no filter
    allowed = {
        name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]
    }
    dangerous = frozenset(
        """add_key bpf clone3 delete_module finit_module fsconfig fsmount fsopen fspick init_module
    io_uring_enter io_uring_register io_uring_setup kexec_file_load kexec_load keyctl listmount lookup_dcookie mount
    mount_setattr move_mount open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root quotactl reboot
    request_key setns statmount swapon syslog umount2 unshare userfaultfd""".split()  # noqa: SIM905 - 36 of them
    )
    assert not allowed & dangerous
    [clone3] = [rule for rule in profile["syscalls"] if rule["names"] == ["clone3"]]
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    free = [rule for rule in profile["syscalls"] if "args" not in rule and rule["action"] == "SCMP_ACT_ALLOW"]
    assert not {"clone", "socket", "personality"} & {name for rule in free for name in rule["names"]}


def test_the_engines_own_masks_are_kept() -> None:
    engine = "/proc/asound /proc/acpi /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats"
    assert {*engine.split(), "/proc/sched_debug", "/proc/scsi", "/sys/firmware"} <= set(MASKED)


# -- on the engine ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def bench(agent_image: str) -> AsyncIterator[DockerBench]:
    async with DockerBench(agent_image) as bench:
        yield bench


class Direct:
    """Asks one sandbox's agent server."""

    def __init__(self, http: aiohttp.ClientSession, sandbox: Sandbox, probe: Probe) -> None:
        self._http, self._sandbox = http, sandbox
        self._headers = probe.headers(sandbox.session)

    async def ask(self, run: str, prompt: str, **fields: Any) -> aiohttp.ClientWebSocketResponse:
        """The run's socket."""
        query = json.dumps({"prompt": prompt, **fields}).encode()
        await self.send("PUT", f"/pending/{run}", query)
        return await self.read(run)

    async def read(self, run: str) -> aiohttp.ClientWebSocketResponse:
        return await self._http.ws_connect(f"{self._sandbox.url}/ws?run={run}", headers=self._headers)

    async def send(self, method: str, path: str, data: bytes = b"") -> bytes:
        async with self._http.request(
            method, f"{self._sandbox.url}{path}", data=data, headers=self._headers
        ) as answer:
            body = await answer.read()
            assert answer.status < 300, body
            return body


@pytest.fixture
async def direct(bench: DockerBench, probe: Probe, session: str) -> AsyncIterator[Direct]:
    sandbox = await bench.driver().ensure(session)
    async with aiohttp.ClientSession() as http:
        yield Direct(http, sandbox, probe)


async def frames_until(socket: aiohttp.ClientWebSocketResponse, *types: str) -> list[dict[str, Any]]:
    frames = []
    async with asyncio.timeout(60):
        async for message in socket:
            frames += [json.loads(line) for line in message.data.splitlines()]
            if frames[-1]["type"] in types:
                return frames
    raise AssertionError(f"it ended without any of {types}: {frames[-3:]}")


async def pids(bench: DockerBench, session: str, command: str) -> list[str]:
    """Of the processes that were started with this command line."""
    _, output = await bench.run(session, "sh", "-c", COMMANDS)
    lines = [line.partition(" ") for line in output.splitlines()]
    return [pid for pid, _, found in lines if found == command]


async def agent_pid(bench: DockerBench, session: str) -> str:
    async with asyncio.timeout(60):
        while not (found := await pids(bench, session, f"{PYTHON} -m container.agents.demo")):
            await asyncio.sleep(0.1)
    [pid] = found
    return pid


async def state_of(bench: DockerBench, session: str, pid: str) -> str:
    _, stat = await bench.run(session, "cat", f"/proc/{pid}/stat")
    return stat.rpartition(") ")[2][:1]


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.timeout(600)
class TestWalls:
    async def test_nothing_of_the_server_or_of_the_kernel_is_open_to_the_agent(
        self, bench: DockerBench, direct: Direct, session: str
    ) -> None:
        code, output = await bench.run(session, PYTHON, "-c", TRIES.read_text())
        assert code == 0, output
        tried = json.loads(output)
        refusals = {"EACCES", "EPERM"}
        open_ones = {what: how for what, how in tried["refused"].items() if how not in refusals}
        assert open_ones == {"clone3": "ENOSYS"}
        assert len(tried["refused"]) > 60
        assert set(tried["allowed"].values()) == {"done"}, tried["allowed"]
        assert b'"ok"' in await direct.send("GET", "/ping")

    async def test_the_agent_has_no_capability_and_cannot_get_one(
        self, bench: DockerBench, direct: Direct, session: str
    ) -> None:
        pid = await agent_pid(bench, session)
        _, status = await bench.run(session, "cat", f"/proc/{pid}/status")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
        assert {fields[name].strip() for name in sets} == {"0" * 16}
        assert (fields["NoNewPrivs"].strip(), fields["Seccomp"].strip()) == ("1", "2")
        assert (fields["Uid"].split(), fields["Gid"].split()) == ([AGENT] * 4, [AGENT] * 4)
        assert fields["Groups"].split() == []

    async def test_masked_paths_tell_nothing(self, bench: DockerBench, direct: Direct, session: str) -> None:
        for path in ("/proc/cmdline", "/proc/kallsyms", "/proc/keys"):
            assert await bench.run(session, "cat", path, user="0") == (0, ""), path
        assert await bench.run(session, "ls", "/sys/firmware", user="0") == (0, "")

    async def test_an_agent_is_paused_resumed_and_stopped_by_another_uid(
        self, bench: DockerBench, direct: Direct, session: str
    ) -> None:
        socket = await direct.ask("r1", ENDLESS)
        await frames_until(socket, "text-delta")
        pid = await agent_pid(bench, session)
        await direct.send("POST", "/runs/r1/pause")
        assert await state_of(bench, session, pid) == "T"
        await direct.send("POST", "/runs/r1/resume")
        assert await state_of(bench, session, pid) != "T"
        await direct.send("POST", "/runs/r1/stop")
        assert (await frames_until(socket, "process-exit"))[-1]["reason"] == "stopped"

    async def test_what_an_agent_has_started_ends_with_it_whatever_group_it_is_in(
        self, bench: DockerBench, probe: Probe, session: str
    ) -> None:
        agent = "sh -c 'read -r query; setsid sleep 4321 & echo >/dev/stderr said; while :; do sleep 1; done'"
        sandbox = await bench.driver_at(await bench.launcher(agent=agent)).ensure(session)
        async with aiohttp.ClientSession() as http:
            direct = Direct(http, sandbox, probe)
            await bench.run(
                session, "chmod", "0700", "/workspace"
            )  # closed to the server: it goes there as the agent
            socket = await direct.ask("r1", "go")
            frames = await frames_until(socket, "stderr")
            assert "said" in json.dumps(frames[-1])
            assert await pids(bench, session, "sleep 4321")
            await direct.send("POST", "/runs/r1/stop")
            await frames_until(socket, "process-exit")
            assert not await pids(bench, session, "sleep 4321")

    async def test_what_runs_from_one_process_into_the_next_is_halted_and_ended_with_it(
        self, bench: DockerBench, probe: Probe, session: str
    ) -> None:
        """No group, no mark in its environment, no pid for longer than a moment, and nothing of it to be read."""
        runner = (
            "import ctypes, os; ctypes.CDLL(None).prctl(4, 0); out = os.open('/tmp/ran', os.O_WRONLY | os.O_CREAT | "
            "os.O_APPEND)\nwhile True:\n  os.write(out, b'.')\n  try:\n    if os.fork(): os._exit(0)\n"
            "  except OSError: pass"  # until those that have ended are reaped
        )
        escape = f'read -r query; env -i setsid {PYTHON} -c "{runner}" & while :; do sleep 1; done'
        sandbox = await bench.driver_at(await bench.launcher(agent=shlex.join(["sh", "-c", escape]))).ensure(
            session
        )

        async def steps() -> int:
            _, size = await bench.run(session, "stat", "-c", "%s", "/tmp/ran")
            return int(size) if size.strip().isdigit() else 0

        async with aiohttp.ClientSession() as http, asyncio.timeout(180):
            direct = Direct(http, sandbox, probe)
            socket = await direct.ask("r1", "go")
            while await steps() < 100:
                await asyncio.sleep(0.05)
            await direct.send("POST", "/runs/r1/pause")
            assert await steps() == await steps()
            await direct.send("POST", "/runs/r1/resume")
            halted = await steps()
            while await steps() == halted:
                await asyncio.sleep(0.05)
            await direct.send("POST", "/runs/r1/stop")
            await frames_until(socket, "process-exit")
            assert await steps() == await steps()

    async def test_files_and_snapshots_are_the_agents(
        self, bench: DockerBench, probe: Probe, direct: Direct, session: str
    ) -> None:
        socket = await direct.ask("r1", "Create a file called kept.txt in /workspace with 'kept'")
        await frames_until(socket, "process-exit")
        await direct.send("PUT", "/files/a/b/put.txt", b"put")
        await bench.run(session, "sh", "-c", "cd /workspace; umask 077; mkdir closed; echo x >closed/y")
        snapshot = await direct.send("GET", "/snapshot")
        with tarfile.open(fileobj=io.BytesIO(snapshot)) as archive:
            names = set(archive.getnames())
        assert {"workspace/kept.txt", "workspace/a/b/put.txt", "workspace/closed/y"} <= names
        driver = bench.driver()
        await driver.delete(session)
        again = await driver.ensure(session)
        async with aiohttp.ClientSession() as http:
            await Direct(http, again, probe).send("PUT", "/snapshot", snapshot)
        _, strangers = await bench.run(
            session, "sh", "-c", "find /workspace /home/agent ! -user agent -o ! -group agent"
        )
        assert strangers == ""
        assert await bench.run(session, "cat", "/workspace/closed/y", "/workspace/kept.txt") == (0, "x\nkept")

    async def test_what_people_do_with_files_is_done_as_the_agent(
        self, bench: DockerBench, direct: Direct, session: str
    ) -> None:
        shut = "cd /workspace && mkdir -m 700 shut && echo 'a needle' > shut/x && chmod 600 shut/x"
        assert (await bench.run(session, "sh", "-c", shut))[0] == 0
        await direct.send("PUT", "/file?path=p/q%FF.txt", b"needle")
        await direct.send("POST", "/tree", b'{"move":"p/q%FF.txt","to":"p/r.txt"}')
        begun = json.loads(await direct.send("POST", "/upload?path=p/up.bin"))
        where = f"path=p/up.bin&upload={begun['upload']}"
        await direct.send("PATCH", f"/upload?{where}&offset=0", bytes(1000))
        await direct.send("PUT", f"/upload?{where}&size=1000")
        found = json.loads(await direct.send("GET", "/search?q=NEEDLE"))  # by the image's ripgrep
        assert {(match["path"], match["column"]) for match in found["matches"]} == {
            ("p/r.txt", 1),
            ("shut/x", 3),
        }
        assert await direct.send("GET", "/file?path=shut/x") == b"a needle\n"
        _, strangers = await bench.run(session, "sh", "-c", "find /workspace ! -user agent -o ! -group agent")
        assert strangers == ""
        links = "cd /workspace/p && ln -s /var/lib/vaporforge state && ln -s /run/vaporforge pending"
        assert (await bench.run(session, "sh", "-c", links))[0] == 0
        for route in (
            "/file?path=p/state/x",
            "/file?path=p/pending",
            "/tree?path=p/state",
            "/zip?path=p/pending",
        ):
            with pytest.raises(AssertionError, match="link"):
                await direct.send("GET", route)
        await direct.send("DELETE", "/file?path=p&recursive=1")
        assert await bench.run(session, "ls", "/workspace") == (0, "shut\n")

    async def test_a_link_leads_the_server_no_further_than_the_agent(
        self, bench: DockerBench, probe: Probe, direct: Direct, session: str
    ) -> None:
        # A query that waits is the server's own, and so is a frame log.
        await direct.send("PUT", "/pending/r9", b'{"prompt":"secret words"}')
        own = ("/run/vaporforge", "/var/lib/vaporforge/runs", "/proc/1/environ")
        for folder in own:
            assert (await bench.run(session, "ls", f"{folder}/"))[0] != 0, folder
        # The home's folder for what the server keeps of the agent's, turned into links to the server's own.
        script = (
            "cd /home/agent && rm -rf .vaporforge && mkdir .vaporforge && cd .vaporforge && "
            "ln -s /var/lib/vaporforge/runs/r9.jsonl jobs.json && ln -s /run/vaporforge/r9.json gitconfig"
        )
        assert (await bench.run(session, "sh", "-c", script))[0] == 0
        author = {"name": "A", "email": "a@example.com"}
        await frames_until(await direct.ask("r10", "Hello", author=author), "process-exit")
        _, waiting = await bench.run(session, "cat", "/run/vaporforge/r9.json", user=f"{spec.SERVER_UID}")
        assert "secret words" in waiting
        assert (await bench.run(session, "stat", "-c", "%U %F", "/home/agent/.vaporforge/gitconfig"))[
            1
        ] == "agent regular file\n"

    async def test_a_workspace_of_the_version_before_goes_on(
        self, bench: DockerBench, probe: Probe, session: str
    ) -> None:
        await self.as_before(bench, session)
        sandbox = await bench.driver().ensure(session)
        assert await probe.read(sandbox, "old.txt") == (200, b"old\n")
        async with aiohttp.ClientSession() as http:
            direct = Direct(http, sandbox, probe)
            frames = await frames_until(await direct.read("before"), "process-exit")
            assert [frame["type"] for frame in frames] == ["run", "sandbox-lost", "process-exit"]
            told = await frames_until(await direct.ask("r1", "Read the file old.txt"), "process-exit")
            assert any("old" in str(frame.get("output")) for frame in told)
        # What the agent lays there from now on is no log of any run.
        plant = "mkdir -p ~/.vaporforge/runs && echo '{}' >~/.vaporforge/runs/planted.jsonl"
        assert (await bench.run(session, "sh", "-c", plant))[0] == 0
        await bench.kill(session)
        await bench.driver().ensure(session)
        _, logs = await bench.run(session, "ls", "/var/lib/vaporforge/runs", user=f"{spec.SERVER_UID}")
        assert "planted" not in logs
        assert "before" in logs

    @staticmethod
    async def as_before(bench: DockerBench, session: str) -> None:
        """The volumes that an agent server of the agent's own uid left in mid-run."""
        settings = bench.launcher_settings
        volumes = {
            name: target
            for name, target in spec.volume_names(settings, session).items()
            if target != spec.VOLUMES["state"]
        }
        for name in volumes:
            await bench.engine(bench.api.create_volume, name, labels=spec.labels(settings, session))
        script = (
            "umask 077; echo old >/workspace/old.txt; mkdir -p ~/.vaporforge/runs; "
            """echo '{"type":"run","run":"before","seq":1}' >~/.vaporforge/runs/before.jsonl"""
        )
        made = await bench.engine(
            bench.api.create_container,
            settings.image,
            user=AGENT,
            entrypoint=["sh", "-c", script],
            host_config=bench.api.create_host_config(
                binds=[f"{name}:{target}" for name, target in volumes.items()], network_mode="none"
            ),
        )
        await bench.engine(bench.api.start, made["Id"])
        assert (await bench.engine(bench.api.wait, made["Id"]))["StatusCode"] == 0
        await bench.engine(bench.api.remove_container, made["Id"])
