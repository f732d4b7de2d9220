"""Retrieval of many ids with one result each: the retriever, its session, its runs and their workers."""
