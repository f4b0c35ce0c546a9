"""Code of child processes, and the only place for heavy imports."""
