"""BRIGHT (bi-level feature representation of image collections using groups of hash tables), reproduced."""
