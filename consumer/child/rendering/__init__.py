"""The render process: from a file to one raw image per page."""
