"""What can go wrong. The class tells who must act; its text says what became of what was asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class AicpError(Exception):
    """Everything that the library raises. `code` is there if the mesh gave one."""

    code: int | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NoDaemon(AicpError, ConnectionError):
    """Nobody listens there: start a daemon, or name its socket. Nothing was sent."""

    def __init__(self, tried: Iterable[Path]) -> None:
        self.tried = tuple(tried)
        shown = ", ".join(str(path) for path in self.tried) or "nothing, for no path is known"
        super().__init__(
            f"no daemon answers; tried {shown}. Start one with `aicpd run`, or say where it listens: "
            "AICP_SOCKET=/path/agent.sock, or attach(..., socket=...)"
        )


class NotASocket(AicpError):
    """What stands there is no socket: name another path. Nothing was sent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is not a socket; name the one that `aicpd run` listens on")


class NoPermission(AicpError, PermissionError):
    """The socket is another's: ask its owner for access. Nothing was sent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"no permission to use {path}; join the group that its configuration names, or ask its owner")


class NoAnswer(AicpError, TimeoutError):
    """No answer came in time. Whether the other side acted is unknown."""

    def __init__(self, message: str = "no answer came in time") -> None:
        super().__init__(message)


class Disconnected(AicpError, ConnectionError):
    """The connection to the daemon was lost meanwhile.

    Whether the other side acted is unknown; the library connects again by itself.
    """

    def __init__(self, message: str = "the connection to the daemon was lost before the answer came") -> None:
        super().__init__(message)


class BodyTooLarge(AicpError, ValueError):
    """The body is longer than the daemon takes: send less. Nothing was sent."""

    code = 4003

    def __init__(self, length: int, most: int) -> None:
        self.length, self.most = length, most
        super().__init__(f"the body has {length} bytes, at most {most} are taken")


class Invalid(AicpError, ValueError):
    """What was asked for cannot be said: correct the call. Nothing was sent."""


class BadBody(AicpError, ValueError):
    """A body that came is not what its content type says. A handler that raises it refuses the message with 4010,
    for good."""

    code = 4010


class NotAsked(AicpError):
    """The submission did not ask for this stage: send it with a later `until`. It is under way nevertheless."""


class Unanswered(AicpError):
    """A durable ask was handled, and its destination had nothing to say."""

    def __init__(self, message: str = "it was handled, and not answered") -> None:
        super().__init__(message)


class Detached(AicpError):
    """The agent was detached. Nothing was sent."""

    def __init__(self, message: str = "the agent is detached") -> None:
        super().__init__(message)


class TakenOver(AicpError):
    """Another client of the same user attached as this agent.

    What was held here is void; attaching again would only take it back.
    """

    def __init__(self, message: str = "another client has attached as this agent") -> None:
        super().__init__(message)


class ProtocolFault(AicpError):
    """The daemon said something that the contract does not allow: one of the two versions is wrong."""


class MeshError(AicpError):
    """The mesh refused it or gave it up, and says why. There is a class for each code.

    `message` was written by a daemon for people, and is untrusted. `retry_after` is in seconds, if there is such
    advice.
    """

    code: int = 5000

    def __init__(self, message: str = "", *, retry_after: float | None = None, code: int | None = None) -> None:
        if code is not None:
            self.code = code
        super().__init__(message)
        self.retry_after = retry_after

    def __str__(self) -> str:
        said = self.message or (type(self).__doc__ or "").splitlines()[0]
        return f"{self.code}: {said}"


class Offline(MeshError):
    """The agent is offline or unknown."""

    code = 4001


class AuthenticationFailed(MeshError):
    """Authentication failed."""

    code = 4002


class TooLarge(MeshError):
    """The message is too large."""

    code = 4003


class OutcomeUnknown(MeshError):
    """It ended, and whether the other side acted is unknown."""

    code = 4004


class Stale(MeshError):
    """Replayed or stale."""

    code = 4005


class HopsExhausted(MeshError):
    """It passed more relays than it may."""

    code = 4006


class NoRoute(MeshError):
    """No route leads there."""

    code = 4007


class Denied(MeshError):
    """Refused by policy."""

    code = 4008


class Full(MeshError):
    """Something is full, or over its quota: try again later."""

    code = 4009


class Malformed(MeshError):
    """Malformed, or of refused content."""

    code = 4010


class UnknownVersion(MeshError):
    """Another version of the protocol."""

    code = 4011


class Expired(MeshError):
    """It expired and was never delivered."""

    code = 4012


class PrekeyChanged(MeshError):
    """Sealed to a prekey that is not kept any more."""

    code = 4013


class GivenUp(MeshError):
    """Given up after too many failed deliveries."""

    code = 4014


class OlderFlow(MeshError):
    """Said in an older flow; between daemons only."""

    code = 4015


class ServerError(MeshError):
    """A fault of the other side."""

    code = 5000


class StorageFailed(MeshError):
    """A disk lost it, or refused it."""

    code = 5001


BY_CODE: dict[int, type[MeshError]] = {kind.code: kind for kind in MeshError.__subclasses__()}


def mesh_error(code: int, message: str = "", retry_after_ms: int = 0) -> MeshError:
    """The error of that code. A code that nobody knows yet is kept."""
    retry_after = retry_after_ms / 1000 if retry_after_ms else None
    return BY_CODE.get(code, MeshError)(message, retry_after=retry_after, code=code)


class Refuse(Exception):
    """Raised by a handler: this message is not handled, and here is why.

    With code 4008 (denied) or 4010 (refused content) that is for good: the message ends, and its sender hears the code
    and these words. With any other it comes again later, and in the end its sender hears that it was given up. What is
    asked once does not come again: whoever asked hears at once, of any other code as 5000 and without these words.
    """

    def __init__(self, message: str, *, code: int = 5000, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retry_after = retry_after
        if not 4000 <= code <= 5999:
            raise ValueError("a code is 4000 to 5999")
