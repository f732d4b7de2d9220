"""The ways in which requests reach the simulated cloud and replies leave it: over sockets, or in process."""
