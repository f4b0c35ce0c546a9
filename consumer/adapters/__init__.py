"""The outside world: one module per thing the consumer talks to."""
