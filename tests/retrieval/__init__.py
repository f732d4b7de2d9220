"""Tests of retrieval: runs, pools and what they are made of."""
