"""The commands of `genesys-media`, one module each."""
