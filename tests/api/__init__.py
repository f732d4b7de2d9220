"""One call to the API: client, replies, retries and tokens."""
