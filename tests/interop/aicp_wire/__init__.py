"""AICP version 1, read and written from its protocol page alone."""
