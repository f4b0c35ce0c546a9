"""A result as one HTML page: the pages of its source with what was read on them, for a browser offline."""
