"""Searchable PDFs: invisible text over the pages of a document."""
