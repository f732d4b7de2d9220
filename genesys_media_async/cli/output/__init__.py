"""Output of the command: results, progress, summary and the standard streams."""
