"""Families for config/exchanged-networks.yaml: each bottleneck in the networks of the other families."""
