"""The agents' door, as bytes: frames, their metadata and the bodies that an agent and its node say to each other.

Pure functions over bytes; nothing here opens a socket or reads a clock. `docs/PROTOCOL.md` is what it implements, and
the vectors in `proto/vectors/local` judge it.
"""
