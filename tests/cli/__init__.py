"""Tests of the command, by its modules."""
