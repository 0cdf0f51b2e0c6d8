"""An agent that asks another one, and leaves something with it that survives crashes: `python planner.py TEXT`."""

from __future__ import annotations

import asyncio
import sys

import aicp


async def find(me: aicp.Agent, capability: str) -> str:
    """The address of somebody who can do it."""
    for agent in await me.agents():
        if capability in agent.capabilities:
            return f"{agent.name}@{agent.node_name}"
    raise SystemExit(f"nobody can {capability}; start examples/summarizer.py")


async def main(text: str) -> None:
    """Finds who can summarize, asks, and has the answer kept."""
    async with aicp.attach("planner") as me:
        summarizer = await find(me, "summarize")
        # Sent once: quick, and lost if either host fails meanwhile.
        answer = await me.ask(summarizer, "summarize", {"text": text}, timeout=5)
        print(f"{answer.sender.address} says: {answer.body['summary']}")
        # Kept on disk on both hosts until it is handled.
        sent = await me.send(summarizer, "keep", answer.body)
        print(f"accepted {sent.id}")
        await sent.handled()
        print("handled")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "Agents talk to each other. This sentence will be left out."))
