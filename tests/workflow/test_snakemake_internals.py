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
            eval(call, globals() | {{"rule": "all", "path": "any"}})
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
