"""The notebook runs on a finished run and shows its pictures."""

import nbformat
import pytest
from nbclient import NotebookClient
from tiny_workflow import REPOSITORY, Workflow

pytestmark = pytest.mark.slow

NOTEBOOK = REPOSITORY / "docs" / "notebooks" / "first-look.ipynb"


def test_the_notebook_runs_from_top_to_bottom_and_shows_its_pictures(
    tiny_run: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIGHT_CONFIG", "config.yaml")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tiny_run.folder)}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3
