"""A real daemon and its command line, in a temporary folder and on loopback only; both end when the checks do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

COMMAND_SECONDS = 15


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(home: Path) -> dict[str, str]:
    """Nothing that configures a daemon, and a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AICP_", "XDG_"))}
    return kept | {"HOME": str(home), "NO_COLOR": "1"}


class Daemon:
    """`folder` must be short: the socket's path lies in it."""

    def __init__(self, aicpd: str, aicpctl: str, folder: Path, name: str = "alpha") -> None:
        self.aicpd, self.aicpctl, self.folder, self.name = aicpd, aicpctl, folder, name
        self.state, self.socket, self.config = folder / "state", folder / "agent.sock", folder / "aicpd.toml"
        self.port = free_udp_port()
        self.process: asyncio.subprocess.Process | None = None
        self.children: dict[str, asyncio.subprocess.Process] = {}
        self.environment = clean_environment(folder)
        self.log = folder / "log"

    async def init(self) -> str:
        """The node id."""
        code, out, err = await self._run(self.aicpd, "init", "--state-dir", str(self.state), "--name", self.name)
        words = [word for word in out.split() if word.startswith("aicp1")]
        if code != 0 or len(words) != 1:
            raise AssertionError(f"aicpd init: {code}: {out} {err}")
        return words[0]

    async def start(self, peers: list[str]) -> None:
        listed = ", ".join(json.dumps(peer) for peer in peers)
        text = f"""[node]
name = "{self.name}"
state_dir = "{self.state}"
[socket]
path = "{self.socket}"
[mesh]
listen = "127.0.0.1:{self.port}"
peers = [{listed}]
[log]
level = "debug"
"""
        self.config.write_text(text, encoding="utf-8")
        await self.run_again()

    async def run_again(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                self.aicpd, "run", "--config", str(self.config), stdout=log, stderr=log, env=self.environment
            )
        for _ in range(100):
            if self.process.returncode is not None:
                raise AssertionError(f"the daemon ended: {self.log_end()}")
            if self.socket.exists() and (await self.ctl("status"))[0] == 0:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"the daemon does not answer: {self.log_end()}")

    async def stop(self) -> int:
        """Its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), 10)
            except asyncio.TimeoutError:
                self.process.kill()
                await self.process.wait()
        code = self.process.returncode
        assert code is not None
        return code

    async def close(self) -> None:
        for name in list(self.children):
            await self.detach(name)
        if self.process is not None:
            await self.stop()

    def log_end(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-20:])

    # the command line

    async def _run(self, *arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
        except asyncio.TimeoutError:
            process.kill()
            out, err = await process.communicate()
            return -1, out.decode(), f"not done in {COMMAND_SECONDS} s: {err.decode()}"
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def ctl(self, command: str, *arguments: str) -> tuple[int, str, str]:
        return await self._run(self.aicpctl, "--socket", str(self.socket), command, *arguments)

    async def status(self) -> dict[str, Any]:
        code, out, err = await self.ctl("status", "--json")
        if code != 0:
            raise AssertionError(f"aicpctl status: {code}: {err}")
        result: dict[str, Any] = json.loads(out)
        return result

    async def peer_state(self, name: str) -> str:
        states = [peer["state"] for peer in (await self.status())["peers"] if peer["name"] == name]
        if len(states) != 1:
            raise AssertionError(f"{len(states)} peers called {name}")
        state: str = states[0]
        return state

    async def agents(self) -> list[str]:
        """agent@node, of all that the daemon knows."""
        code, out, err = await self.ctl("agents", "--json")
        if code != 0:
            raise AssertionError(f"aicpctl agents: {code}: {err}")
        found = []
        for line in out.splitlines():
            read = json.loads(line)
            for agent in read.get("agents", [read]):
                found.append(f"{agent['name']}@{agent['node_name']}")
        return found

    async def attach(self, name: str, *arguments: str) -> Path:
        """An agent that stays; what it prints goes to the file, an object a line."""
        printed = self.folder / f"{name}.jsonl"
        with printed.open("wb") as out:
            child = await asyncio.create_subprocess_exec(
                self.aicpctl,
                "--socket",
                str(self.socket),
                "recv",
                "--as",
                name,
                "--json",
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self.environment,
            )
        self.children[name] = child
        return printed

    async def detach(self, name: str) -> None:
        child = self.children.pop(name)
        if child.returncode is None:
            child.terminate()
            await child.wait()
