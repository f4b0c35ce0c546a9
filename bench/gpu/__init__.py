"""Reading on one GPU: what it reads, how fast, and with how much memory.

And the pack that brings it there.
"""
