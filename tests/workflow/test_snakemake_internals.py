"""Each attribute that the workflow uses of Snakemake without its documentation's promise: which one is missing?"""

import re
from pathlib import Path

import snakemake
from tiny_workflow import REPOSITORY, Workflow

RULES = REPOSITORY / "workflow" / "rules"
INTERNALS = RULES / "snakemake_internals.smk"
HANDLERS = [f"workflow._{name}" for name in ("onstart", "onsuccess", "onerror")]
CALLS = sorted({*re.findall(r'\bworkflow(?:\.\w+|\((?:"\w+"|\w*)\))+', INTERNALS.read_text()), *HANDLERS})
LOOK = """
import atexit
@atexit.register
def look():
    for call in {calls!r}:
        try:
            eval(call, globals() | {{"rule": "all", "path": "any", "name": "gpu"}})
        except AttributeError:
            print("missing:", call)
        except AssertionError:
            pass  # it is there, for the time of reading a Snakefile
rule all:
    output: "made"
    shell: "touch {{output}}"
"""


def test_snakemake_has_every_attribute(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(LOOK.format(calls=[*CALLS, "workflow.no_such_attribute"]))
    missing = re.findall("^missing: (.*)$", Workflow(tmp_path).call("snakemake", "--cores", "1").text, re.MULTILINE)
    assert missing == ["workflow.no_such_attribute"], f"Snakemake {snakemake.__version__}: change {INTERNALS.name}"


def test_no_other_file_uses_the_internals() -> None:
    others = {*RULES.glob("*.smk"), RULES.with_name("Snakefile")} - {INTERNALS}
    used = {file.name: re.findall(r"\bworkflow\.(?!source_path\b)\w+\b(?!/)", file.read_text()) for file in others}
    assert used == {file.name: [] for file in others}


def test_the_warning_of_the_solver_is_left_out_and_others_are_not(tmp_path: Path) -> None:
    start, end = "Failed to solve scheduling problem with ILP solver", ", falling back to greedy scheduler."
    warnings = [f"{start}{end}", f"{start} in time (10s){end}", "Another warning."]
    text = f'include: "{INTERNALS}"\nfor line in {warnings}:\n    logger.warning(line)\nrule all:\n    output: "made"\n'
    (tmp_path / "Snakefile").write_text(text + '    shell: "touch {output}"\n')
    said = Workflow(tmp_path).call("snakemake", "--cores", "1").text
    assert [line for line in warnings if line in said] == ["Another warning."]


def test_no_timer_looks_for_jobs(tmp_path: Path) -> None:
    rules = 'rule all:\n    input: list("123456")\nrule one:\n    output: "{name}"\n    shell: "touch {output}"\n'
    end = 'import threading\nonsuccess: print("threads:", threading.enumerate())\n'
    (tmp_path / "Snakefile").write_text(f'include: "{INTERNALS}"\nonstart: schedule_as_jobs_end()\n{rules}{end}')
    said = Workflow(tmp_path).call("snakemake", "--cores", "1").text
    assert "threads: [" in said and "Timer" not in said


def test_the_header_names_the_config_of_the_checkout_and_no_copy_in_a_cache(empty: Workflow) -> None:
    said = empty.run("-n", "--until", "prepare_dataset").text
    assert f"Config file(s): ['{REPOSITORY / 'config' / 'demo.yaml'}']" in said
