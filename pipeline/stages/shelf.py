"""What lies in results/store: each folder of it is read once, however many files are asked for."""

from pathlib import Path

from pipeline.base.paths import STORE


class Shelf:
    """The store as it was when it was first asked for; `forget` makes it look again."""

    def __init__(self, store: Path = STORE):
        self.store = store
        self._names: dict[str, dict[str, str]] = {}
        self._files: dict[Path, frozenset[str]] = {}

    def name(self, folder: str, label: str, digest: str) -> str:
        """The name of the folder with this digest, whatever stands before it; LABEL-DIGEST where there is none.

        A folder that DVC tracks has its name, here or still to be pulled. Two jobs of one digest share the first's.
        """
        if folder not in self._names:
            self._names[folder] = self._read_names(folder)
        return self._names[folder].setdefault(digest, f"{label}-{digest}")

    def _read_names(self, folder: str) -> dict[str, str]:
        """Digest -> folder name; with two of one digest, the one that holds more files."""
        names: dict[str, str] = {}
        place = self.store / folder
        for name in sorted({entry.removesuffix(".dvc") for entry in listing(place)}):
            digest = name.rsplit("-", 1)[-1]
            known = names.get(digest)
            if known is None or len(listing(place / known)) < len(listing(place / name)):
                names[digest] = name
        return names

    def files(self, folder: Path) -> frozenset[str]:
        """Names of the files in a folder; none where it is not here."""
        if folder not in self._files:
            self._files[folder] = frozenset(listing(folder))
        return self._files[folder]

    def forget(self) -> None:
        """Look again at what is asked for from now on; names of folders stay."""
        self._files.clear()


def listing(folder: Path) -> list[str]:
    """Names in a folder; none where it cannot be read."""
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []
