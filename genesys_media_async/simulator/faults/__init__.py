"""Deliberate faults: which request meets which, what a fault makes of a reply, and how that reply is sent."""
