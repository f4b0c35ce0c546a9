"""Walls round this process, so that a file that takes it over gets nothing: a module for each wall."""
