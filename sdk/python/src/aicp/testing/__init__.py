"""For unit tests of agents: a mesh in this process, without any daemon.

    async with MockMesh() as mesh, mesh.attach("planner") as planner, mesh.attach("writer") as writer:
        register_handlers(writer)
        serving = asyncio.create_task(writer.serve())
        answer = await planner.ask("writer", "draft", {"goal": "ship"})

The agents are real ones: the same library speaks the same frames, over a pair of sockets.
"""

from __future__ import annotations

from .mesh import MockMesh

__all__ = ["MockMesh"]
