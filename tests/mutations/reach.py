"""How near each test file is to a module: the tests nearest to a mutated module come first, all others after them.

This is an order and leaves nothing out: a test reaches modules also through commands that it starts.
"""

import ast
from collections import deque
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

READ_CODE_AS_TEXT = ("test_mutations.py", "test_digests_follow_code.py")  # would notice any change, for no fault


class Reach:
    """The imports of the project in `root` and of its tests, wherever they stand in a file."""

    def __init__(self, root: Path):
        self.root = root

    def nearest(self, module: Path) -> list[Path]:
        """The test files with the fewest imports between: the one of its name first, then those of few modules."""
        fewest = min((reached[module] for reached in self.distances.values() if module in reached), default=0)
        near = [test for test, reached in self.distances.items() if reached.get(module) == fewest]
        return sorted(near, key=lambda test: (module.stem not in test.stem, len(self.distances[test])))

    def others(self, module: Path) -> list[Path]:
        """All other test files, nearer ones first."""
        near = self.nearest(module)
        far = [test for test in self.distances if test not in near]
        return sorted(far, key=lambda test: self.distances[test].get(module, len(self.modules)))

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Every module by the name under which it is imported: those of the tests by their file's name alone."""
        files = sorted((self.root / "pipeline").rglob("*.py"))
        names = [
            ".".join(path.relative_to(self.root).with_suffix("").parts).removesuffix(".__init__") for path in files
        ]
        helpers = {path.stem: path for path in (self.root / "tests").rglob("*.py") if not path.stem.startswith("test_")}
        return helpers | dict(zip(names, files, strict=True))

    @cached_property
    def distances(self) -> dict[Path, dict[Path, int]]:
        """How many imports lie between each test file and each module that it reaches."""
        imports = {path: set(self._imported(path)) for path in self.modules.values()}
        tests = [test for test in (self.root / "tests").rglob("test_*.py") if test.name not in READ_CODE_AS_TEXT]
        return {test: self._from(test, imports) for test in sorted(tests)}

    def _from(self, test: Path, imports: dict[Path, set[Path]]) -> dict[Path, int]:
        found = dict.fromkeys(self._imported(test), 1)
        waiting = deque(found)
        while waiting:
            path = waiting.popleft()
            for imported in imports[path] - found.keys():
                found[imported] = found[path] + 1
                waiting.append(imported)
        return found

    def _imported(self, path: Path) -> Iterator[Path]:
        """What a file imports, and what it names as "module:attribute", as families name their networks."""
        for node in ast.walk(ast.parse(path.read_bytes())):
            match node:
                case ast.Import():
                    names = [alias.name for alias in node.names]
                case ast.ImportFrom(level=0):
                    names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
                case ast.Constant(value=str(text)):
                    names = [text.partition(":")[0]]
                case _:
                    continue
            yield from (self.modules[name] for name in names if name in self.modules)
