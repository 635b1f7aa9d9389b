"""A git repository with a finished run whose results DVC tracks, as people have it; and clones of it."""

import shutil
from pathlib import Path

from tiny_workflow import REPOSITORY, TINY, Run, Workflow, copy_checkout

KEPT = ("fingerprints", "identities", "store", "tiny")
PERSON = {
    f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in (("NAME", "A"), ("EMAIL", "a@b"))
}


class Repository(Workflow):
    """A folder that is a checkout, a git repository and a DVC repository, with a config.yaml."""

    def __init__(self, folder: Path):
        super().__init__(folder, folder)

    def environment(self) -> dict[str, str]:
        """Everything that DVC and git write stays in the test's folders."""
        own = {"DVC_SITE_CACHE_DIR": str(self.folder.parent / "dvc-site"), "DVC_NO_ANALYTICS": "1"}
        return super().environment() | PERSON | own

    def git(self, *words: str) -> Run:
        return self.call("git", *words)

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def dvc(self, *words: str, expect: int = 0) -> Run:
        return self.call("dvc", *words, expect=expect)

    def remote(self, name: str, url: str, **options: str) -> None:
        """Set a DVC remote up on this machine alone."""
        self.dvc("remote", "add", "--local", "--force", name, url)
        for key, value in options.items():
            self.dvc("remote", "modify", "--local", name, key, value)

    def clone(self, folder: Path) -> "Repository":
        """A fresh clone: what git holds, and nothing else."""
        self.git("clone", "--quiet", str(self.folder), str(folder))
        return Repository(folder)

    def payloads(self) -> dict[str, bytes]:
        """The files of the store that git does not hold, by path."""
        store = self.folder / "results" / "store"
        files = (path for path in store.rglob("*") if path.is_file() and path.suffix != ".dvc")
        return {str(path.relative_to(store)): path.read_bytes() for path in files}


def finished_repository(folder: Path, run: Workflow) -> Repository:
    """A repository with copies of a finished run's results, not tracked yet."""
    copy_checkout(folder)
    shutil.copytree(REPOSITORY / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    for name in (".dvcignore", ".gitignore", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    shutil.copy(TINY, folder / "config.yaml")
    for name in KEPT:
        shutil.copytree(run.folder / "results" / name, folder / "results" / name)
    repository = Repository(folder)
    repository.git("init", "--quiet")
    return repository


def times(folder: Path) -> dict[Path, int]:
    """When each file of a folder was last changed, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".dvc"}
