"""Recordings of conversations: one by one, by batch job, and orphans."""
