"""An agent that serves until it is stopped (SIGTERM or ctrl-c): `python summarizer.py`, and see `planner.py`.

What it was given and did not finish comes again, to it or to whoever is called so next.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aicp

log = logging.getLogger("summarizer")


def add_handlers(me: aicp.Agent) -> None:
    """What it can do. Apart from `main`, so that a test can have it without a daemon (see `test_summarizer.py`)."""

    @me.on("summarize")
    async def summarize(msg: aicp.Message) -> dict[str, Any]:
        text = msg.body["text"].strip()
        if not text:
            raise aicp.Refuse("there is nothing to summarize", code=4010)
        first, _, rest = text.partition(". ")
        return {"summary": first, "left_out": len(rest.split()), "by": me.name, "for": msg.sender.address}

    @me.on("keep")
    async def keep(msg: aicp.Message) -> None:
        # A message may come twice if a crash came between; then it says so. To keep twice does no harm here.
        log.info("kept for %s%s: %s", msg.sender.address, ", maybe again" if msg.marked else "", msg.body["summary"])


async def main() -> None:
    """Attaches and serves."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    async with aicp.attach("summarizer", capabilities=["summarize"]) as me:
        add_handlers(me)
        log.info("%s is there", me.address)
        await me.serve()


if __name__ == "__main__":
    asyncio.run(main())
