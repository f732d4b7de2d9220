"""What each source asks for, and what it makes of the replies."""
