"""Settings, checked when they are made: regions, policies, environment and URLs."""
