"""Handlers by subject, and the loop that gives them what arrives.

What a handler returns is the answer; what it raises refuses the message, for now or, with a code that says so, for
good. While it runs, the lease is extended. What one source sent durably is handled one after another, in order, and no
source takes more places than it leaves to others.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from . import _hearing, _limits
from ._core import Core
from ._door.kinds import MessageType
from .errors import AicpError, BadBody, Detached, Invalid, Refuse
from .events import Ended
from .message import Delivery, Message, Outcome

log = logging.getLogger("aicp")

# How often in a lease the daemon is told that work goes on: two such words may be late or lost.
WORKING_IN_A_LEASE = 3

# Given the message; what it returns is the answer. A plain function runs in a thread, so that it holds nothing up.
Handler = Callable[[Message], Awaitable[Any]] | Callable[[Message], Any]


class Handlers:
    """Who handles what."""

    def __init__(self) -> None:
        self.by_subject: dict[str, Handler] = {}
        self.other: Handler | None = None

    def of(self, subject: str | None) -> Handler | None:
        return self.by_subject.get(subject or "", self.other)


class Server:
    """One run of `Agent.serve`."""

    def __init__(self, core: Core, handlers: Handlers) -> None:
        self._core = core
        self._handlers = handlers
        self._running: set[asyncio.Task[None]] = set()
        # How many of them are of which source.
        self._held: Counter[bytes] = Counter()
        # The last durable delivery of each source: the next one begins after it.
        self._last: dict[str, asyncio.Task[None]] = {}

    async def run(self, grace: float, signals: Iterable[signal.Signals]) -> None:
        """Handles what arrives until the agent is to stop; then lets the handlers that run end."""
        self._core.draining = False
        with _drain_at(signals, self.drain):
            try:
                while await self._next():
                    pass
                await self._finish(grace)
            except Detached:
                await self._finish(grace)
            finally:
                for task in self._running:
                    task.cancel()
                await asyncio.gather(*self._running, return_exceptions=True)

    def drain(self) -> None:
        """Takes nothing more. What is not begun comes again to whoever attaches next."""
        log.info("draining: %d handlers still run", len(self._running))
        drain(self._core)

    async def _next(self) -> bool:
        """Takes one thing that arrives; `False` once the agent is to stop."""
        core = self._core
        arrived = await _hearing.receive(core, self._has_place)
        if not isinstance(arrived, Delivery):
            if isinstance(arrived, Outcome):
                core.tell(Ended(arrived))
            return arrived is not None
        before = self._last.get(arrived.sender.id) if arrived.durable else None
        task = asyncio.create_task(self._handle(arrived, before), name=f"aicp {arrived.subject}")
        if arrived.durable:
            self._last[arrived.sender.id] = task
        self._running.add(task)
        source = arrived._frame.header.source
        self._held[source] += 1

        def over(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            self._held[source] -= 1
            if not self._held[source]:
                del self._held[source]
            if self._last.get(arrived.sender.id) is task:
                del self._last[arrived.sender.id]
            core.arrivals.ring()

        task.add_done_callback(over)
        return True

    def _has_place(self, source: bytes) -> bool:
        """A source may have as many as it leaves free: half of all where it is alone, so that whoever comes behind it
        finds some."""
        return self._held[source] < _limits.HANDLERS_MAX - len(self._running)

    async def _finish(self, grace: float) -> None:
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace)
            if late:
                log.warning("%d handlers did not end within %.0f s; their messages come again", len(late), grace)

    async def _handle(self, delivery: Delivery, before: asyncio.Task[None] | None) -> None:
        """Handles one delivery to its end. What goes wrong on the way to the daemon needs no care: the message comes
        again."""
        try:
            async with _working(delivery):
                if before is not None:
                    await asyncio.wait({before})
                    if self._core.draining:
                        # Its turn came too late: it is left to whoever attaches next.
                        return
                answer = await self._answer(delivery)
            await _settle(delivery, answer)
        except Refuse as why:
            log.info("refused %s: %s", delivery, why.message)
            with contextlib.suppress(AicpError):
                await delivery.refuse(why)
        except AicpError as error:
            log.info("not settled: %s: %s", delivery, error)

    async def _answer(self, delivery: Delivery) -> Any:
        handler = self._handlers.of(delivery.subject)
        if handler is None:
            raise Refuse("nobody handles this subject", code=4010)
        try:
            if inspect.iscoroutinefunction(handler):
                return await handler(delivery)
            result = await asyncio.to_thread(handler, delivery)
            return await result if inspect.isawaitable(result) else result
        except Refuse:
            raise
        except BadBody as error:
            raise Refuse(error.message, code=4010) from error
        except Exception as error:
            # The words of an error may hold what its maker does not tell to others: they stay in the log here.
            what_now = "the message comes again" if delivery.durable else "whoever asked hears that it failed"
            log.exception("the handler of %s raised; %s", delivery, what_now)
            raise Refuse(f"the handler raised {type(error).__name__}", code=5000) from error


async def _settle(delivery: Delivery, answer: Any) -> None:
    is_question = delivery.type is MessageType.REQUEST
    try:
        if is_question and (answer is not None or not delivery.durable):
            await delivery.respond(answer)
        else:
            await delivery.handled()
    except (Invalid, ValueError) as error:
        log.error("the answer to %s cannot be sent: %s", delivery, error)
        raise Refuse("the handler's answer cannot be sent", code=5000) from error


@contextlib.asynccontextmanager
async def _working(delivery: Delivery) -> Any:
    """Tells the daemon again and again that work goes on, so that the message stays here."""

    async def tell(every: float) -> None:
        # It ends when the message is somebody else's by now; what has begun is finished all the same.
        with contextlib.suppress(AicpError):
            while True:
                await asyncio.sleep(every)
                await delivery.working()

    task = asyncio.create_task(tell(delivery.lease / WORKING_IN_A_LEASE)) if delivery.lease else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()


def drain(core: Core) -> None:
    """From here on nothing more is received."""
    core.draining = True
    core.arrivals.ring()


@contextlib.contextmanager
def _drain_at(signals: Iterable[signal.Signals], act: Callable[[], None]) -> Iterator[None]:
    """While it lasts, these signals drain.

    Only the main thread can be told of them, and only once each: who asks again is in earnest.
    """
    loop = asyncio.get_running_loop()
    taken: list[signal.Signals] = []

    def on(one: signal.Signals) -> None:
        act()
        release(one)

    def release(one: signal.Signals) -> None:
        if one in taken:
            taken.remove(one)
            loop.remove_signal_handler(one)

    for one in signals:
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):
            loop.add_signal_handler(one, on, one)
            taken.append(one)
    try:
        yield
    finally:
        for one in list(taken):
            release(one)
