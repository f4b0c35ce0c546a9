"""The service: what is done with a message, from its receive to its settlement."""
