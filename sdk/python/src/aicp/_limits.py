"""Every number that bounds something in the library."""

from __future__ import annotations

# What one agent's process has under way and unanswered: four times the 1,024 ends that a daemon keeps open for an
# agent.
WAITING_MAX = 4 * 1024
# Bytes of durable submissions that are kept for being sent again: six of the longest.
WAITING_BYTES_MAX = 64 << 20
# Bytes that wait for the socket; a frame that is begun below it may go beyond.
OUT_BYTES_MAX = 1 << 20
# Deliveries that wait to be received: so many the daemon is given credit for. While somebody waits for an answer a
# quarter more may come at a time.
INBOX_MESSAGES = 1024
INBOX_BYTES = 32 << 20
# Beyond this, what comes is left to its lease or, without one, is lost.
INBOX_MESSAGES_MAX = 2 * INBOX_MESSAGES
INBOX_BYTES_MAX = 2 * INBOX_BYTES
# Addresses whose ids are remembered.
ADDRESSES_MAX = 1024
# Ended submissions that are remembered, so that an end which comes twice is told once.
SETTLED_MAX = WAITING_MAX
# Handlers that run at once.
HANDLERS_MAX = 64
# Events that wait for a listener; the oldest make way.
EVENTS_MAX = 256

# The first pause before a connection is made again; each further one is twice as long, up to the longest.
PAUSE_FIRST = 0.05
PAUSE_MAX = 0.4
# A connection that held this long was a good one: the pauses begin anew. Two processes that take one name from each
# other by turns so do it slowly.
STEADY_AFTER = 5.0
# How long a daemon may take to answer the attach: it may have to make keys and sync them.
ATTACH_WITHIN = 10.0
# How long what is written last may take.
FAREWELL = 1.0
# How long an ask that is sent once waits, where nobody says otherwise. Of a durable one the mesh tells the end.
ASK_WITHIN = 30.0
# How long handlers may go on once the agent is to stop.
GRACE = 30.0
# An ask is repeated under a new id this often if its destination's prekey was replaced meanwhile.
PREKEY_TRIES = 3
# A reason in words that goes back to the daemon.
REASON_BYTES_MAX = 1024
