"""docs/adding-a-stage.md, followed word by word: a contract and a command, and nothing else."""

import re

from documented import ROOT
from tiny_workflow import Workflow

STEP = re.compile(r"<!-- (\S+) -->\n```python\n(.*?)```", re.DOTALL)


def test_a_new_stage_runs_and_is_run_again_like_any_other(changeable: Workflow) -> None:
    command = "pipeline/bright_pipeline/measure_brightness.py"
    files = STEP.findall((ROOT / "docs" / "adding-a-stage.md").read_text(encoding="utf-8"))
    assert [file for file, _ in files][1] == command and len(files) == 2
    for file, text in files:
        with (changeable.checkout / file).open("a") as module:
            module.write(f"\n\n{text}")

    made = changeable.run()
    assert made.jobs == {"measure_brightness": 1, "make_report": 1}, "the page lists all jobs"
    assert "Measuring the brightness of datasets.tiny (threads=1)\n" in made.text
    assert "measure_brightness (The mean brightness of a validation split.)\n" in changeable.run("--list").text
    (folder,) = changeable.folders("brightness")
    assert folder.name.startswith("tiny-")
    assert changeable.run().nothing_to_do
    assert "measure_brightness" in changeable.python("bright_pipeline.commands", "status", "config.yaml").text
    (folder / "brightness.json").unlink()
    said = changeable.call("bright", "measure_brightness", "config.yaml", "datasets.tiny").text
    assert (folder / "brightness.json").exists(), said
    changeable.add_number(command)
    assert changeable.run("-n").jobs == {"measure_brightness": 1, "make_report": 1}, "its digest follows its code"
    listed = changeable.call("bright").text
    assert " ".join(listed.split()).count("measure_brightness the mean brightness of a validation split.") == 1
