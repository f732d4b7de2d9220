"""Where callers wait for permits."""
