"""The sinks, and the lanes that lead to them."""
