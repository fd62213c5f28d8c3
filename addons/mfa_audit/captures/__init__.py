"""Where Exchanges come from: live traffic and captures."""
