"""Captures and Microsoft's lists: recognised by content, read bounded, brought into the database."""
