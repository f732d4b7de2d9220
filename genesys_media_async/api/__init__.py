"""One call to the platform API, to its end: client, values, replies, retries and tokens."""
