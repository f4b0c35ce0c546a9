"""Measures the engine for processors: its time beside another build's, and its memory over many pages."""
