"""BRIGHT, reproduced: from image collections to every table and figure of the paper.

The jobs follow from the config (pipeline/stages); results lie in results/store, by digest, and what people look at
in results/RUN.
"""

import gc
import os
import sys
from pathlib import Path

# A thousand jobs are millions of objects that stay: garbage is looked for among them less often.
gc.set_threshold(10_000)

# The package, and model families of your own in the folder that Snakemake runs in, where stages find them too.
sys.path[:0] = [workflow.basedir, os.getcwd()]

from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil
from snakemake.exceptions import WorkflowError

from pipeline.base.code import expected_code
from pipeline.base.disk import refusal
from pipeline.base.errors import InputError
from pipeline.base.signals import when_asked_to_end
from pipeline.base.records import record_path, request_mb
from pipeline.base.work import holder, is_held
from pipeline.base.yaml_files import read_yaml
from pipeline.config.root import load_config
from pipeline.data.fingerprint import Fingerprints
from pipeline.estimation.fitting import memory_warnings
from pipeline.plan.arguments import named_arguments, settings_argument, write_arguments
from pipeline.plan.claims import Claims, claim, to_make
from pipeline.plan.checks import claimed_run, left_out, obstacles
from pipeline.plan.clocks import set_back
from pipeline.plan.damage import wrong_sizes
from pipeline.plan.ending import ending, told_earlier
from pipeline.plan.identities import check_identities
from pipeline.plan.parts import Part, planned
from pipeline.plan.publish import publish
from pipeline.plan.run import find as find_job
from pipeline.plan.run import Needed, everything, forced, headline, wanted
from pipeline.plan.view import view
from pipeline.stages import all_stages
from pipeline.stages.captions import CAPTIONS
from pipeline.stages.common import CORES_PER_GPU, Jobs, Output, path_of
from pipeline.stages.figures import FIGURES, figures
from pipeline.stages.page import page
from pipeline.stages.tables import caption, tables

# Who started a job, for its heartbeat: a job ends with its run, however that ends.
shell.prefix("set -euo pipefail; export BRIGHT_RUN=${{HOSTNAME:-}}:$PPID; ")

DEMO = workflow.source_path("config/demo.yaml")

if not workflow.overwrite_configfiles:

    configfile: DEMO


container: "workflow/container/bright.sif"


wildcard_constraints:
    digest="[0-9a-f]{12}",
    first=r"\d+",
    last=r"\d+",
    place=".+",


include: "workflow/rules/common.smk"


rule all:
    """Every table, figure and sample set (the default)."""
    input:
        [output.path for output in jobs(everything)],


include: "workflow/rules/datasets.smk"
include: "workflow/rules/autoencoders.smk"
include: "workflow/rules/generation.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/studies.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/page.smk"


# Called once, in the main process, where there is something to do; not in a dry run.
onstart:
    check_before_the_first_job()


onsuccess:
    show_results()


onerror:
    print(
        "A job failed; its log says why (results/logs). Started again, the run goes on where it was."
    )
