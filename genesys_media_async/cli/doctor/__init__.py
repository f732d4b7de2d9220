"""Checks of `genesys-media doctor` and what they find."""
