"""The files of a release: models, pages and training curves of finished runs, checksums, and the changes.

    python tools/publication/release.py     # `make release` writes release/VERSION

Each model is one zip of an exported folder, which `load_autoencoder` reads from the address of the uploaded file.
"""

import re
import shutil
import tomllib
from contextlib import redirect_stdout
from pathlib import Path

import yaml
from bright_pipeline.engine.command import run_stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands.export import chosen, export
from bright_pipeline.config.root import Config
from bright_pipeline.engine.atomic import new_folder
from bright_pipeline.generation.interactive import PACKAGED_MODEL
from bright_pipeline.generation.released import write_sums
from bright_pipeline.stages.page import page
from runs import finished


def release() -> None:
    """Write the files of the release that pyproject.toml, CITATION.cff and CHANGELOG.md agree on.

    The model in the package is exported first: a change of it is committed with the release.
    """
    write_packaged_model()
    version = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changes = section(version)
    with new_folder(Path("release") / version) as folder:
        for run, jobs in finished():
            name, model = run["model"], f"autoencoders.{released(jobs.config)}"
            with redirect_stdout(None):  # its line names the temporary folder
                export(model, folder / name, Path(run["config"]), run.get("licence"))
            shutil.make_archive(str(folder / name), "zip", folder, name)
            shutil.rmtree(folder / name)
            shutil.copyfile(jobs(page).path("report.html"), folder / f"{name}.html")
            for kind, job in chosen(jobs, model).items():
                shutil.copyfile(job.path(f"{kind}.history.csv"), folder / f"{name}-{kind}.csv")
        (folder / "CHANGES.md").write_text(changes, encoding="utf-8")
        write_sums(folder)
    print(f"release/{version}: checksums in SHA256SUMS; CONTRIBUTING.md has the next steps")


def write_packaged_model(folder: Path = PACKAGED_MODEL) -> None:
    """Export the model of the first run with weights of 16 bits, in place of the one in the package."""
    run, jobs = next(finished())
    shutil.rmtree(folder, ignore_errors=True)
    export(f"autoencoders.{released(jobs.config)}", folder, Path(run["config"]), run.get("licence"), half=True)


def released(config: Config) -> str:
    """The autoencoder of a run's first sample set; without samples, its first autoencoder."""
    models = (config.autoencoder_of(config.samples[name]) for name in config.tables_or_default.sample_sets)
    return next(filter(None, models), next(iter(config.autoencoders)))


def section(version: str) -> str:
    """The changes of a version; InputError if a file has another version or no date, or changes without a version."""
    cited = yaml.safe_load(Path("CITATION.cff").read_text(encoding="utf-8"))
    if cited["version"] != version or "date-released" not in cited:
        raise InputError(f"CITATION.cff: needs the version {version}, as in pyproject.toml, and its date-released")
    parts = re.split(r"^## (.+)\n+", Path("CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections, heading = dict(zip(parts[1::2], parts[2::2], strict=True)), f"{version} ({cited['date-released']})"
    if heading not in sections or sections.get("Unreleased"):
        raise InputError(f"CHANGELOG.md: needs a section {heading!r}, as in CITATION.cff, and no changes above it")
    return sections[heading]


if __name__ == "__main__":
    run_stage(release, beats=False)
