"""Tests of what crosses rooms: from ids to results."""
