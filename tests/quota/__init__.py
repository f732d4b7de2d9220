"""The quota account: its rules, and its runs against every kind of server."""
