"""Checkpoints of other programs: their keys, mapped into our modules. Nothing in them is run (promise 4)."""
