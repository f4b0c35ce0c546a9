"""Blocks, tables and markdown of a page whose lines have been read, on a processor."""
