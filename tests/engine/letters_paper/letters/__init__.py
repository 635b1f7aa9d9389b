"""Counts of letters in texts: a tiny workflow without images, on the engine alone."""
