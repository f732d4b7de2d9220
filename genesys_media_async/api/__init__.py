"""One call to the platform API: client, values, replies, retries and tokens."""
