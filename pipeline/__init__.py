"""BRIGHT (bi-level feature representation of image collections using groups of hash tables), reproduced.

The stages and all that they use. For a Python session or a notebook there is `bright_pipeline`.
"""
