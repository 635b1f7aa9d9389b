"""BRIGHT, reproduced: from image collections to every table and figure of the paper.

The jobs follow from the config (pipeline/plan); results lie in results/store, by digest, and what
people look at in results/RUN.
"""

import os
import sys
from pathlib import Path

# The package, and model families of your own in the folder that Snakemake runs in, where stages find them too.
sys.path[:0] = [workflow.basedir, os.getcwd()]

from snakemake.exceptions import WorkflowError

from pipeline.config.root import load_config
from pipeline.base.errors import InputError
from pipeline.base.records import record_path, request_mb
from pipeline.plan.arguments import named_arguments, settings_argument
from pipeline.plan.checks import left_out, obstacles
from pipeline.plan.ending import ending
from pipeline.plan.run import Plan
from pipeline.plan.stages import STAGES

if not workflow.overwrite_configfiles:

    configfile: workflow.source_path("config/demo.yaml")


container: "workflow/container/bright.sif"


# They take seconds, or need the internet: where jobs go to a cluster, these stay on its login node.
localrules:
    complexity,
    fetch_network,
    make_figure,
    make_report,
    make_table,


include: "workflow/rules/common.smk"


rule all:
    """Every table, figure and sample set (the default)."""
    input:
        [job.outputs for job in plan.targets],


include: "workflow/rules/datasets.smk"
include: "workflow/rules/autoencoders.smk"
include: "workflow/rules/generation.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/report.smk"
