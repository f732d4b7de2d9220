"""Settings, and the rules for each of them."""
