"""Command: check a config, and keep its reference (config/README.md) and schema (config/schema.json)."""

from pipeline.base.command import run_stage
from pipeline.config.__main__ import config

if __name__ == "__main__":
    run_stage(config)
