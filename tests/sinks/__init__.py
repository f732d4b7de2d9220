"""The sinks, and the dispatcher that lead to them."""
