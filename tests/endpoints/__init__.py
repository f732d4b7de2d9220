"""The endpoints of Genesys Cloud."""
