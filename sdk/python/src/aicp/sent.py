"""A message that was accepted, and the stages that can be awaited."""

from __future__ import annotations

import asyncio
import contextlib
import weakref

from ._core import Core, Durable
from ._door.ids import message_id_to_text
from ._letter import STAGES
from .errors import AicpError, NotAsked, Unanswered
from .message import Message

ORDER = list(STAGES)


class Sent:
    """An accepted message. When nobody holds this any more the waiting ends, not the message."""

    def __init__(self, core: Core, message_id: int, durable: Durable, until: str) -> None:
        self.id = message_id_to_text(message_id)
        self.until = until
        self._progress = durable.progress
        self._finalizer = weakref.finalize(self, _forget, asyncio.get_running_loop(), core, message_id)
        self._finalizer.atexit = False

    def __repr__(self) -> str:
        return f"<message {self.id}>"

    async def accepted(self) -> None:
        """Waits until it is on this host's disk: it survives a crash from here on."""
        await self._reached("accepted")

    async def stored(self) -> None:
        """Waits until it is on the disk of the destination's host."""
        await self._reached("stored")

    async def handled(self) -> Message | None:
        """Waits until the destination has handled it.

        An answer, if it gave one, is part of that. Raises why it was not, a class for each code: `GivenUp`,
        `Expired`, `OutcomeUnknown` and others.
        """
        await self._reached("handled")
        end = self._progress.end
        return end if isinstance(end, Message) else None

    async def answered(self) -> Message:
        """The same for what must be answered."""
        answer = await self.handled()
        if answer is None:
            raise Unanswered()
        return answer

    async def _reached(self, stage: str) -> None:
        if ORDER.index(stage) > ORDER.index(self.until):
            raise NotAsked(f"the message was sent with until={self.until!r}; send it with until={stage!r}")
        progress = self._progress

        def is_there() -> bool:
            return {"accepted": progress.accepted, "stored": progress.stored}.get(stage, progress.ended)

        await progress.bell.until(lambda: is_there() or progress.ended)
        failed = isinstance(progress.end, AicpError) and (stage == "handled" or not is_there())
        if failed and isinstance(progress.end, AicpError):
            raise progress.end.with_traceback(None)

    def _leave(self) -> None:
        """Nobody waits any more."""
        self._finalizer()


def _forget(loop: asyncio.AbstractEventLoop, core: Core, message_id: int) -> None:
    # Objects may be collected on any thread, and after the loop.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(core.forget, message_id)
