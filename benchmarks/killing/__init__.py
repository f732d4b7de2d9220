"""Runs of the command that are ended by signals, and the ledgers that must agree afterwards."""
