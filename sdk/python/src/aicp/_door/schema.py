"""The bodies that agents and nodes say to each other, with the field names of `proto/schema/aicp.proto`.

The order of the fields is their number in Protocol Buffers; new ones are appended. A field that was not said is empty.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorBody:
    """The body of every ERROR."""

    error_code: int = 0
    error_message: str = ""
    original_message_id: str = ""
    retry_after_ms: int = 0


@dataclass(frozen=True)
class Attach:
    """Asks for a name on this connection."""

    name: str = ""
    capabilities: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttachReply:
    """The answer to it."""

    agent_id: str = ""
    node_id: str = ""
    node_name: str = ""
    lease_ms: int = 0
    message_bytes_max: int = 0


@dataclass(frozen=True)
class Resolve:
    """Asks who an address is."""

    address: str = ""


@dataclass(frozen=True)
class ResolveReply:
    """Who an address is: the agent, and the node that hosts it."""

    agent_id: str = ""
    agent_name: str = ""
    node_id: str = ""
    node_name: str = ""


@dataclass(frozen=True)
class PeerStatus:
    """A neighbour of a node."""

    name: str = ""
    id: str = ""
    state: str = ""
    address: str = ""
    rtt_us: int = 0
    since_ms: int = 0
    sent_messages: int = 0
    received_messages: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    last_error: str = ""


@dataclass(frozen=True)
class AgentStatus:
    """An agent that a node hosts, and what waits for it."""

    name: str = ""
    id: str = ""
    attached: bool = False
    waiting: int = 0
    waiting_bytes: int = 0
    oldest_ms: int = 0
    sent_messages: int = 0
    received_messages: int = 0


@dataclass(frozen=True)
class NodeStatus:
    """How the node is."""

    schema: str = ""
    node_id: str = ""
    node_name: str = ""
    version: str = ""
    uptime_ms: int = 0
    listen: tuple[str, ...] = ()
    state_dir: str = ""
    mesh: str = ""
    peers: tuple[PeerStatus, ...] = ()
    agents: tuple[AgentStatus, ...] = ()
    outbox_messages: int = 0
    outbox_bytes: int = 0
    outbox_oldest_ms: int = 0
    awaiting: int = 0
    mailbox_messages: int = 0
    warnings: tuple[str, ...] = ()
    mailbox_bytes: int = 0
    mailbox_oldest_ms: int = 0
    dead_messages: int = 0
    dead_bytes: int = 0
    dead_oldest_ms: int = 0
    expiry_suspended: bool = False
    disk_full: bool = False


@dataclass(frozen=True)
class DirectoryAgent:
    """An agent somewhere in the mesh."""

    name: str = ""
    id: str = ""
    node_id: str = ""
    node_name: str = ""
    local: bool = False
    attached: bool = False
    capabilities: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeAgents:
    """Who can be reached."""

    schema: str = ""
    agents: tuple[DirectoryAgent, ...] = ()
