"""Checks a real daemon against a node that was written from the page alone: check_daemon.py AICPD AICPCTL [WORD …]

AICPD and AICPCTL may also stand in the environment. With words only the checks that have one of them in their name run.
It exits with 1 if a check fails; the last line is `N passed, M failed`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import daemon_refuses
import daemon_talks
from daemon_world import Check, World

CHECK_SECONDS = 20


async def passes(world: World, check: Check) -> bool:
    name, function = check
    begun = time.monotonic()
    try:
        await asyncio.wait_for(function(world), CHECK_SECONDS)
    except Exception as error:  # whatever it is, the other checks run
        print(f"FAILED  {name}\n        {type(error).__name__}: {error}", flush=True)
        return False
    print(f"ok      {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    return True


def faults_passed(world: World) -> bool:
    """What the daemon sent was all as the page has it, in every check."""
    faults = [fault for node in world.nodes for fault in node.faults]
    name = "nothing that the daemon sent was refused"
    print(f"FAILED  {name}\n        {faults}" if faults else f"ok      {name}")
    return not faults


async def run(aicpd: str, aicpctl: str, words: list[str]) -> int:
    checks = daemon_talks.check.list + daemon_refuses.check.list
    checks = [check for check in checks if any(word in check[0] for word in words or [""])]
    with tempfile.TemporaryDirectory(prefix="aicp-") as folder:
        world = World(aicpd, aicpctl, Path(folder))
        try:
            await world.start()
            results = [await passes(world, check) for check in checks]
            results.append(faults_passed(world))
        finally:
            await world.close()
        if not all(results):
            print(f"the end of the daemon's log:\n{world.daemon.log_end()}")
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


def main(arguments: list[str]) -> int:
    aicpd = arguments[0] if arguments else os.environ.get("AICPD", "")
    aicpctl = arguments[1] if len(arguments) > 1 else os.environ.get("AICPCTL", "")
    for path in (aicpd, aicpctl):
        if not os.access(path, os.X_OK):
            print(f"no such program: {path!r}\nusage: check_daemon.py AICPD AICPCTL [WORD …]", file=sys.stderr)
            return 2
    logging.getLogger("quic").setLevel(logging.CRITICAL)  # it reports every link that a check spoils
    return asyncio.run(run(aicpd, aicpctl, arguments[2:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
