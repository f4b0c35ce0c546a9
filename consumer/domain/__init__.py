"""The rules of the product as pure functions and frozen values: no I/O, clock, environment or asyncio."""
