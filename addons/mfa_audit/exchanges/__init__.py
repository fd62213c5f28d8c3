"""One HTTP call as seen: the Exchange, its one maker, and the bodies of refusals. The last place of a raw token."""
