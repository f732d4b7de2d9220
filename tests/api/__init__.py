"""One call, to its end: attempts, tokens, replies, retries."""
