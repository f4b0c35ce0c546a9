"""Tests of PP-StructureV3 have an environment of their own: tests/structure/.venv, which `make test` makes."""

from importlib.util import find_spec

# Elsewhere there is nothing that they could run.
collect_ignore_glob = [] if find_spec("paddleocr") else ["test_*.py"]
