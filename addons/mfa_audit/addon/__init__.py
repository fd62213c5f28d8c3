"""Live traffic: the mitmproxy addon, and what it can find out about a caller."""
