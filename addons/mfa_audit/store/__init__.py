"""The audit database. The only folder that knows SQL."""
