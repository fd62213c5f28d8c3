"""The recording proxy: mitmproxy in this process, the way out behind it, and the live page."""
