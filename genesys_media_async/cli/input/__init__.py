"""Input of the command: files of ids and CSV tables."""
