"""What sends a child process or a terminal through the proxy, and lets it trust the proxy."""
