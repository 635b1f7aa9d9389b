"""Which tests `make near` runs."""

import subprocess
from pathlib import Path

import near

ROOT = Path(__file__).parents[1]


def test_the_tests_next_to_changed_files_are_found() -> None:
    model, tool = ROOT / "pipeline/bright_pipeline/models/noise.py", ROOT / "tools/near.py"
    found = near.near([model, tool, ROOT / "docs/faq.md", ROOT / "README.md", ROOT / "tests/docs/test_readme.py"])
    assert ROOT / "tests/models/test_noise.py" in found
    assert {Path(__file__), ROOT / "tests/docs", ROOT / "tests/docs/test_readme.py"} < set(found)
    assert not any(path.is_relative_to(ROOT / "tests/workflow") for path in found)


def test_changed_and_new_files_are_found_and_removed_ones_are_not(tmp_path: Path) -> None:
    for name in ("same", "changed", "removed"):
        (tmp_path / name).write_text(name)
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "All"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    (tmp_path / "changed").write_text("more")
    (tmp_path / "new").touch()
    (tmp_path / "removed").unlink()
    assert near.changed("HEAD", tmp_path) == [tmp_path / "changed", tmp_path / "new"]
