"""Sentences about what the package does; most of them over real sockets, against its own simulator."""
