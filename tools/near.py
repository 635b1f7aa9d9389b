"""`make near`: the test files next to what has changed since a commit (BASE, default HEAD), one per line.

    python tools/near.py [BASE]

Of a module, those with the fewest imports between; of a test, itself; of a tool, those beside it; of a page, a rule or
a config, those of its folder. Files that git does not know yet have changed, too.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "mutations"))
from reach import distances, near_and_far

ROOT = Path(__file__).parents[1]
OF_FOLDERS = {"docs": "docs", "workflow": "workflow", "profiles": "workflow", "config": "config", "Makefile": "docs"}


def changed(base: str, root: Path = ROOT) -> list[Path]:
    """Files that differ from a commit, and new ones."""
    commands = ["git diff --name-only --diff-filter=d " + base, "git ls-files --others --exclude-standard"]
    told = [subprocess.check_output(command.split(), cwd=root, text=True) for command in commands]
    return sorted({root / line for lines in told for line in lines.splitlines()})


def near(files: list[Path], root: Path = ROOT) -> list[Path]:
    """The test files or folders next to these files."""
    reached, found = distances(root), dict[Path, None]()
    for path in files:
        top, *inner = path.relative_to(root).parts
        if path.name.startswith("test_"):
            found[path] = None
        elif top == "tools" and inner:
            found |= dict.fromkeys(path.parent.glob("test_*.py"))
        elif path.suffix == ".py":
            found |= dict.fromkeys(near_and_far(reached, path)[0])
        elif folder := OF_FOLDERS.get(top):
            found[root / "tests" / folder] = None
    return list(found)


if __name__ == "__main__":
    for path in near(changed(*sys.argv[1:2] or ["HEAD"])):
        print(path.relative_to(ROOT))
