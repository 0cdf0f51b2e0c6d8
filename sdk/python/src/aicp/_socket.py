"""Which socket leads to the daemon.

The library's only reader of the environment; it makes nothing and removes nothing.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from .errors import AicpError, NoDaemon, NoPermission, NotASocket

BELOW = Path("aicp/agent.sock")

ProtocolFactory = Callable[[], asyncio.Protocol]
# Opens a connection to a daemon and hands it to the protocol that the factory makes.
Dial = Callable[[ProtocolFactory], Awaitable[None]]


def socket_candidates(given: str | os.PathLike[str] | None = None) -> list[Path]:
    """The paths that are tried, in order. A path that somebody names is the only one."""
    named = Path(given) if given is not None else _variable("AICP_SOCKET")
    if named is not None:
        return [named]
    runtime, state, home = _variable("XDG_RUNTIME_DIR"), _variable("XDG_STATE_HOME"), _variable("HOME")
    if state is None and home is not None:
        state = home / ".local/state"
    return [folder / BELOW for folder in (runtime, state, Path("/run")) if folder is not None]


def _variable(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None


def dial(given: str | os.PathLike[str] | None) -> Dial:
    """Connects to the given socket, to that of AICP_SOCKET, or to the first usual one that is there."""

    async def connect(factory: ProtocolFactory) -> None:
        tried: list[Path] = []
        for path in socket_candidates(given):
            tried.append(path)
            try:
                await asyncio.get_running_loop().create_unix_connection(factory, str(path))
                return
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _explained(path, tried, error) from error
        raise NoDaemon(tried)

    return connect


def _explained(path: Path, tried: list[Path], error: OSError) -> AicpError:
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return NotASocket(path)
    except OSError:
        pass
    return NoPermission(path) if isinstance(error, PermissionError) else NoDaemon(tried)
