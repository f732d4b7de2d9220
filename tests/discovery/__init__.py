"""Tests of discovery: the conversations of an interval."""
