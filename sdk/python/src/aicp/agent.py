"""An agent that is attached to the daemon on its host: the handle that programs hold."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from . import _hearing, _limits, _requests
from ._core import Core
from ._door import schema
from ._door.frame import draw_id
from ._door.ids import id_to_text, is_message_id, message_id_to_text
from ._door.kinds import ZERO_ID, MessageType, Shape
from ._door.metadata import is_name, is_text
from ._keeper import Keeper
from ._letter import STAGES, Letter
from ._requests import Seconds
from ._socket import Dial, dial
from .body import Body
from .errors import Invalid, NoAnswer
from .events import Events
from .message import Delivery, Message, Outcome
from .node import Asking
from .sent import Sent
from .serve import Handler, Handlers, Server, drain

H = TypeVar("H", bound=Handler)


class Agent(Asking):
    """An attached agent. It belongs to the event loop that it was attached in."""

    def __init__(self, core: Core, keeper: Keeper, name: str) -> None:
        super().__init__(core, keeper)
        self.name = name
        self._handlers = Handlers()

    def __repr__(self) -> str:
        return f"<agent {self.address}>"

    @property
    def id(self) -> str:
        """Its id."""
        return id_to_text(self._core.me.id)

    @property
    def node(self) -> str:
        """The name of the node that hosts it."""
        return self._core.me.node_name

    @property
    def node_id(self) -> str:
        return id_to_text(self._core.me.node)

    @property
    def address(self) -> str:
        """`name@node`, as others address it."""
        return f"{self.name}@{self.node}"

    # asking and sending

    async def ask(
        self,
        to: str,
        subject: str | None,
        body: Any = None,
        *,
        timeout: float | None = None,
        durable: bool = False,
        expires_in: Seconds | None = None,
        traceparent: str | None = None,
        session: str | None = None,
        capability: str | None = None,
        entries: Mapping[str, Any] | None = None,
    ) -> Message:
        """Asks an agent (`name@node`, `name`, or an id), and waits for its answer.

        It is sent once, without any disk, and waits 30 s unless `timeout` says otherwise. With `durable` it is kept
        on disk on both hosts until its end is known: it survives restarts of the daemons and lost connections, and
        waits without end unless `timeout` says otherwise, for the mesh tells when it expired.
        """
        extras = _requests.extras(expires_in, traceparent, session, capability, entries)
        letter = Letter(MessageType.REQUEST, Shape.ONCE, ZERO_ID, Body.of(body), subject, extras=extras)
        within = timeout if timeout is not None or durable else _limits.ASK_WITHIN
        try:
            async with asyncio.timeout(within) as clock:
                if not durable:
                    return Message(await _requests.ask_agent(self._core, letter, to))
                sent = await self._submit(letter, to, "handled", None, False)
                try:
                    return await sent.answered()
                finally:
                    sent._leave()
        except TimeoutError:
            if clock.expired():
                raise NoAnswer(f"no answer of {to} came within {within} s") from None
            raise

    async def send(
        self,
        to: str,
        subject: str | None,
        body: Any = None,
        *,
        until: str = "handled",
        expires_in: Seconds | None = None,
        traceparent: str | None = None,
        session: str | None = None,
        capability: str | None = None,
        entries: Mapping[str, Any] | None = None,
        id: str | None = None,
        again: bool = False,
    ) -> Sent:
        """Sends what is kept on disk until its end is known. When this returns it is accepted: it lies on this host's
        disk.

        `until` is the last stage that will be awaited: `accepted`, `stored` or `handled`. Who draws the `id` beforehand
        (`aicp.new_id()`) and writes it down can submit the message `again` after a crash: where the daemon knows it,
        it is the same message; otherwise it is delivered marked. By default it expires in 24 h, at most in 72.
        """
        if until not in STAGES:
            raise Invalid("until is accepted, stored or handled")
        extras = _requests.extras(expires_in, traceparent, session, capability, entries)
        letter = Letter(MessageType.REQUEST, Shape.DURABLE, ZERO_ID, Body.of(body), subject, extras=extras)
        sent = await self._submit(letter, to, until, id, again)
        try:
            await sent.accepted()
        except BaseException:
            sent._leave()
            raise
        return sent

    async def _submit(self, letter: Letter, to: str, until: str, id: str | None, again: bool) -> Sent:
        letter.shape = Shape.DURABLE
        letter.last_stage = STAGES[until]
        letter.handled_wanted = until == "handled"
        number = None if id is None else _number(id)
        drawn, durable = await _requests.submit_durable(self._core, letter, to, number, again)
        return Sent(self._core, drawn, durable, until)

    # receiving

    def on(self, subject: str | None = None) -> Callable[[H], H]:
        """Handles what has this subject; without one, all that no other handler does.

        What the handler returns is the answer; `None` is none. What it raises refuses the message, so that it comes
        again later: `Refuse` says why and with which code (4008 and 4010 end the message for good), any other exception
        is 5000 and goes to the log here.
        """

        def take(handler: H) -> H:
            if subject is None:
                self._handlers.other = handler
            else:
                self._handlers.by_subject[subject] = handler
            return handler

        return take

    async def serve(
        self,
        *,
        grace: float = _limits.GRACE,
        signals: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
    ) -> None:
        """Gives what arrives to the handlers, until it is stopped or detached.

        At one of `signals` it drains: nothing more is begun, handlers that run have `grace` seconds to end, and it
        returns. What was not begun comes again to whoever attaches next. Raises `TakenOver` if another client has the
        name.
        """
        await Server(self._core, self._handlers).run(grace, signals)

    def stop(self) -> None:
        """Lets `serve` drain, as a signal does."""
        drain(self._core)

    @property
    def stopping(self) -> bool:
        """Whether `serve` is to end: a handler that takes long may want to know."""
        return self._core.draining

    async def recv(self) -> Delivery | Outcome:
        """Waits for the next message, or for the end of a submission that nobody waits for: `serve` by hand."""
        self._core.draining = False
        arrived = await _hearing.receive(self._core)
        if arrived is None:
            raise Invalid("the agent drains")
        return arrived

    def events(self) -> Events:
        """What becomes of the connection, from here on."""
        events = Events()
        self._core.listeners.add(events)
        return events

    async def detach(self) -> None:
        """Gives the name back and ends the connection, after all that was said has been written."""
        await self._keeper.close()


def attach(
    name: str,
    *,
    capabilities: Sequence[str] = (),
    topics: Sequence[str] = (),
    socket: str | os.PathLike[str] | None = None,
) -> Attaching:
    """Asks the daemon to be attached under `name`. `async with` gives it back at the end; `await` leaves that to the
    caller.

    `capabilities` are what it can do, as others may look for it; `topics` the broadcasts that it wants; `socket` is
    where the daemon listens, if that is none of the usual places (AICP_SOCKET, XDG_RUNTIME_DIR, XDG_STATE_HOME,
    /run).
    """
    return Attaching(name, capabilities, topics, dial(socket))


class Attaching:
    """An agent on its way to be attached."""

    def __init__(self, name: str, capabilities: Sequence[str], topics: Sequence[str], dial: Dial) -> None:
        self._attach = schema.Attach(name, tuple(capabilities), tuple(topics))
        self._dial = dial
        self._agent: Agent | None = None

    def __await__(self) -> Generator[Any, None, Agent]:
        return self._run().__await__()

    async def __aenter__(self) -> Agent:
        self._agent = await self._run()
        return self._agent

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._agent is not None:
            await self._agent.detach()

    async def _run(self) -> Agent:
        attach = self._attach
        if not is_name(attach.name):
            raise Invalid("a name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or digit")
        if len(attach.capabilities) > 32 or len(attach.topics) > 64:
            raise Invalid("an agent has at most 32 capabilities and 64 topics")
        if not all(is_text(one, 64) for one in attach.capabilities) or not all(
            is_text(one, 255) for one in attach.topics
        ):
            raise Invalid("a capability is 1 to 64 bytes and a topic 1 to 255, without control characters")
        core = Core(attach)
        keeper = Keeper(core, self._dial)
        await keeper.open()
        return Agent(core, keeper, attach.name)


def new_id() -> str:
    """A message id, to be written down before the message is sent under it."""
    return message_id_to_text(draw_id())


def _number(text: str) -> int:
    if not is_message_id(text) or int(text, 16) == 0:
        raise Invalid("a message id is 16 lowercase hex digits")
    return int(text, 16)
