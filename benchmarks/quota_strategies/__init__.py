"""Ways of keeping to a quota: ours, and those found in programs and SDKs."""
