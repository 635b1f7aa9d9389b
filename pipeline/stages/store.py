"""The contents of results/store. Each folder is read once."""

from pathlib import Path

from pipeline.base.paths import STORE


class Store:
    """The files of results/store when their folder was first read; `forget` drops them."""

    def __init__(self, root: Path = STORE):
        self.root = root
        self._names: dict[str, dict[str, str]] = {}
        self._files: dict[Path, frozenset[str]] = {}

    def name(self, folder: str, label: str, digest: str) -> str:
        """The name of the folder with this digest, whatever its label; LABEL-DIGEST if there is none.

        A folder that DVC tracks counts also before it is pulled. Two jobs with one digest have the name of the first.
        """
        if folder not in self._names:
            names, place = self._names.setdefault(folder, {}), self.root / folder
            for found in sorted({entry.removesuffix(".dvc") for entry in listing(place)}):
                # Of two with the same digest, the one with more files.
                known = names.setdefault(found.rsplit("-", 1)[-1], found)
                if known != found and len(listing(place / known)) < len(listing(place / found)):
                    names[found.rsplit("-", 1)[-1]] = found
        return self._names[folder].setdefault(digest, f"{label}-{digest}")

    def files(self, folder: Path) -> frozenset[str]:
        """The names of the files in a folder; none if it is missing."""
        if folder not in self._files:
            self._files[folder] = frozenset(listing(folder))
        return self._files[folder]

    def forget(self) -> None:
        """Read the files of all folders again on the next call; the folders' names stay."""
        self._files.clear()


def listing(folder: Path) -> list[str]:
    """The names in a folder; none if it cannot be read."""
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []
