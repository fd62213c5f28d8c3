"""The laboratory of months: simulated partners, an oracle, and what rules say of them."""
