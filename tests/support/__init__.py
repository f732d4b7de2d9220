"""Helpers that tests share: servers, retrievers, and what else more than one file needs."""
