"""Exit statuses of all commands; 0 is done."""

FAILED = 1
USAGE = 2
UNREACHABLE = 3
TIMED_OUT = 124
