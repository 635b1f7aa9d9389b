"""The files of a release: models, pages and training curves of finished runs, checksums, and the changes.

    python workflow/publication/release.py     # `make release` writes release/VERSION

Each model is one zip of an exported folder, which `load_autoencoder` reads from the address of the uploaded file.
"""

import re
import shutil
import tomllib
import zipfile
from pathlib import Path

import yaml
from runs import finished

from pipeline.base.atomic import new_folder
from pipeline.base.command import run_stage
from pipeline.base.errors import InputError
from pipeline.commands.export import chosen, export
from pipeline.generation.released import write_sums
from pipeline.stages.page import page

MODEL = "autoencoders.main"  # of each run


def release() -> None:
    """Write the files of the release that pyproject.toml, CITATION.cff and CHANGELOG.md agree on."""
    version = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changes = section(version)
    with new_folder(Path("release") / version) as folder:
        for run, jobs in finished():
            export(MODEL, folder / run.model, Path(run.config), run.licence)
            pack(folder / run.model)
            shutil.copyfile(jobs(page).path("report.html"), folder / f"{run.model}.html")
            for kind, job in chosen(jobs, MODEL).items():
                shutil.copyfile(job.path(f"{kind}.history.csv"), folder / f"{run.model}-{kind}.csv")
        (folder / "CHANGES.md").write_text(changes, encoding="utf-8")
        write_sums(folder)
    print(
        f"release/{version}: {len(list(Path('release', version).iterdir()))} files; CONTRIBUTING.md has the next steps"
    )


def section(version: str) -> str:
    """The changes of a version; InputError if a file has another version or no date, or changes without a version."""
    cited = yaml.safe_load(Path("CITATION.cff").read_text(encoding="utf-8"))
    if cited["version"] != version or "date-released" not in cited:
        raise InputError(f"CITATION.cff: needs the version {version}, as in pyproject.toml, and its date-released")
    parts = re.split(r"^## (.+)\n+", Path("CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections, heading = dict(zip(parts[1::2], parts[2::2], strict=True)), f"{version} ({cited['date-released']})"
    if heading not in sections:
        raise InputError(f"CHANGELOG.md: has no section {heading!r}, the version and date of CITATION.cff")
    if sections.get("Unreleased"):
        raise InputError(f"CHANGELOG.md: has changes under 'Unreleased': move them under {heading!r}")
    return sections[heading]


def pack(model: Path) -> None:
    """Replace a folder by a zip of it; equal files give equal bytes."""
    with zipfile.ZipFile(model.with_name(f"{model.name}.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in model.rglob("*") if path.is_file()):
            member = zipfile.ZipInfo(path.relative_to(model.parent).as_posix())
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(member, path.read_bytes())
    shutil.rmtree(model)


if __name__ == "__main__":
    run_stage(release, beats=False)
