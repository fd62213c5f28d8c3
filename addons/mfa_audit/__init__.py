"""Finds the tools that call Microsoft Partner Center without multi-factor authentication."""

__version__ = "0.1.0"
