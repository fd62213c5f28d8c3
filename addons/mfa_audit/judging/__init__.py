"""What a call proves: pure functions from an Exchange to an Observation, without I/O, clock or logging."""
