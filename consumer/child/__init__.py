"""What runs in child processes, and the only place where heavy libraries are imported."""
