"""Webhooks: delivery in the background."""
