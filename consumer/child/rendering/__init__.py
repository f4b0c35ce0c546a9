"""The render process."""
