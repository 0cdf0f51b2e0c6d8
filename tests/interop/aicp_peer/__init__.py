"""A node of the mesh in Python, written from the protocol page alone: TLS, links, flows."""
