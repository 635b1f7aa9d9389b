"""Each attribute that the workflow uses of Snakemake without its documentation's promise: which one is missing?"""

import re
from pathlib import Path

import pytest
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


@pytest.fixture(scope="module")
def missing(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The missing attributes of this Snakemake, at the end of a run."""
    folder = Workflow(tmp_path_factory.mktemp("internals"))
    (folder.folder / "Snakefile").write_text(LOOK.format(calls=[*CALLS, "workflow.no_such_attribute"]))
    found = re.findall("^missing: (.*)$", folder.call("snakemake", "--cores", "1").text, re.MULTILINE)
    assert found.pop() == "workflow.no_such_attribute"
    return found


@pytest.mark.parametrize("call", CALLS)
def test_snakemake_has_the_attribute(call: str, missing: list[str]) -> None:
    assert call not in missing, f"Snakemake {snakemake.__version__} has no {call}: change {INTERNALS.name}"


@pytest.mark.parametrize("file", sorted({*RULES.glob("*.smk"), RULES.with_name("Snakefile")} - {INTERNALS}), ids=str)
def test_no_other_file_uses_the_internals(file: Path) -> None:
    assert not re.findall(r"\bworkflow\.(?!source_path\b)\w+\b(?!/)", file.read_text())
