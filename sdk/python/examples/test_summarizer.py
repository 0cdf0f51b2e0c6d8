"""How an agent is tested without a daemon: `pip install pytest`, then `pytest test_summarizer.py`."""

from __future__ import annotations

import asyncio

import pytest

import aicp
from aicp.testing import MockMesh
from summarizer import add_handlers


def test_the_first_sentence_is_the_summary() -> None:
    asyncio.run(first_sentence())


async def first_sentence() -> None:
    async with MockMesh(failures=2) as mesh, mesh.attach("summarizer") as me, mesh.attach("tester") as tester:
        add_handlers(me)
        serving = asyncio.create_task(me.serve())
        answer = await tester.ask("summarizer", "summarize", {"text": "One two. Three four five"})
        assert answer.body == {"summary": "One two", "left_out": 3, "by": "summarizer", "for": "tester@mock"}
        await (await tester.send("summarizer", "keep", answer.body)).handled()
        with pytest.raises(aicp.Malformed):
            await tester.ask("summarizer", "summarize", {"text": " "}, durable=True)
        assert mesh.refusals[0].message == "there is nothing to summarize"
        me.stop()
        await serving
