"""Export a trained model: a folder with weights, settings, a model card with the results, and samples.

It can be uploaded to a hub as it is. `load_autoencoder(FOLDER)` or `load_generator(FOLDER)` reads it.
"""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import read_json
from bright_pipeline.base.paths import DEMO
from bright_pipeline.config.root import read_config
from bright_pipeline.data.archive import ImageArchive, to_model
from bright_pipeline.engine.atomic import new_folder, write_json, write_text
from bright_pipeline.engine.jobs import Job, closure
from bright_pipeline.engine.shards import ordered
from bright_pipeline.families import find_family
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.generation import diffusion, generator, samples
from bright_pipeline.stages.measurements import reconstruction

MAKERS = {"autoencoders": autoencoder, "generators": generator, "diffusions": diffusion}  # by section of the config
SUMMARY = "summary.json"
EXAMPLES = 10  # validation images whose codes are in the folder
SHOWN, ROW = 16, 8  # images of a sample set, and images in a row


def export(
    name: Annotated[str, typer.Argument(help="An entry of the config: main, or autoencoders.main where several are.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write, new or empty.")],
    config: Annotated[Path, typer.Option(help="The run's config file.")] = DEMO,
    licence: Annotated[str | None, typer.Option("--license", help="Licence of the weights, such as cc-by-4.0.")] = None,
    half: Annotated[bool, typer.Option("--half", help="Weights of 16 bits instead of 32.")] = False,
) -> None:
    """Write a trained model into a new folder, with its results as a model card.

    An autoencoder comes with the trained diffusion model on its codes, if any; a generator of codes with its decoder.
    The card has the numbers of the sample sets that these models generated.
    """
    from bright_pipeline.generation.code_files import write_codes
    from bright_pipeline.generation.exported import CODES, PREPARATION, SETTINGS, STEPS, write_weights
    from bright_pipeline.generation.interactive import load_autoencoder
    from bright_pipeline.generation.released import write_sums
    from bright_pipeline.page.model_card import Card, model_card

    jobs = Jobs(read_config(config))
    models = chosen(jobs, name)
    entries = {name: getattr(jobs.config, f"{name}s")[_name(job)] for name, job in models.items()}
    trained_on = jobs.config.dataset_of(entries.get("generator") or entries["autoencoder"])
    manifest = jobs(dataset, trained_on).folder / "manifest.json"
    if not manifest.exists():
        raise InputError(f"{manifest}: not here, but the model card needs it: run snakemake, or dvc pull")
    generates = "generator" in models or "diffusion" in models
    sample_sets = [jobs(samples, name) for name in jobs.config.samples] if generates else []
    complete = [job for job in sample_sets if job.complete and all(model in job.upstream for model in models.values())]
    families = [*dict.fromkeys(["bright", *(getattr(e, "family", "latent-diffusion") for e in entries.values())])]
    reconstructed = jobs(reconstruction, _name(models["autoencoder"])) if "autoencoder" in models else None
    sources = [*complete, reconstructed] if reconstructed else complete
    methods = [find_family(entries[name].family).method for name in ("generator", "autoencoder") if name in entries]
    with new_folder(folder) as temporary:
        weights = {name: Path(job.path(f"{name}.safetensors")) for name, job in models.items()}
        steps = complete[0].settings["samples"]["sampler"]["steps"] if complete else STEPS
        write_weights(temporary, weights, families, steps, half)
        # Paths of imported checkpoints and of images are private.
        settings = {name: entry.model_copy(update={"weights": None}).numerical() for name, entry in entries.items()}
        settings["dataset"] = {key: getattr(jobs.config.datasets[trained_on], key) for key in PREPARATION}
        write_json(temporary / SETTINGS, settings)
        validation = Path(jobs(dataset, trained_on).path("validation.zip"))
        if "autoencoder" in models and validation.exists():
            images, model = ImageArchive(validation), load_autoencoder(temporary, families=families, device="cpu")
            codes = model.encode(images.tensor(range(min(EXAMPLES, len(images)))))
            names = [f"{index:05d}.png" for index in range(len(codes))]
            write_codes(temporary / CODES, model.autoencoder, codes, names)
        card = Card(
            name=folder.name,
            method=" on codes of ".join(methods) + (" with a latent diffusion model" if "diffusion" in models else ""),
            tags=tuple(families),
            generates=generates,
            licence=licence,
            half=half,
            dataset=trained_on,
            data=read_json(manifest, f"manifest {manifest}"),
            summaries=measured(jobs, sources),
            pictures=write_pictures(temporary, reconstructed, complete),
            files={path.relative_to(temporary).as_posix() for path in temporary.rglob("*")},
            digests={job.stage.name: job.digest for job in models.values()},
        )
        write_text(temporary / "README.md", model_card(card))
        write_sums(temporary)
    print(f"{folder}: {', '.join(job.entry for job in models.values())}, with README.md")


def chosen(jobs: Jobs, name: str) -> dict[str, Job]:
    """The models of an entry, by model type; InputError if there is no such entry, or if it is not trained."""
    entries = [f"{section}.{entry}" for section in MAKERS for entry in getattr(jobs.config, section)]
    named = [entry for entry in entries if name in (entry, entry.partition(".")[2])]
    if not named:
        raise InputError(f"{name!r}: no trained model of the config, which has {', '.join(entries)}")
    if len(named) > 1 and named != [f"autoencoders.{name}", f"diffusions.{name}"]:
        raise InputError(f"{name!r}: several entries: say {' or '.join(named)}")
    section, _, name = named[0].partition(".")
    decoder = name if section == "autoencoders" else getattr(jobs.config, section)[name].autoencoder
    models = {} if decoder is None else {"autoencoder": jobs(autoencoder, decoder)}
    if section == "autoencoders":
        on_its_codes = (jobs(diffusion, key) for key in jobs.config.diffusions_on(name))
        trained = next((job for job in on_its_codes if job.has("diffusion.safetensors")), None)
        models |= {"diffusion": trained} if trained else {}
    else:
        models[section.removesuffix("s")] = jobs(MAKERS[section], name)
    for model_type, job in models.items():
        if not job.has(f"{model_type}.safetensors"):
            raise InputError(f"{job.entry}: not trained yet ({job.folder}): run snakemake, or dvc pull")
    return models


def _name(job: Job) -> str:
    return job.entry.partition(".")[2]


def measured(jobs: Jobs, results: list[Job]) -> dict[str, Path]:
    """The finished summaries of these results, or of what was measured on them, by title."""
    keys = {job.key for job in results}
    measured = [job for job in ordered(jobs) if job.stage.title(job) and job.has(SUMMARY)]
    return {
        job.stage.title(job): job.folder / SUMMARY for job in measured if keys & {other.key for other in closure([job])}
    }


def write_pictures(folder: Path, reconstructed: Job | None, sample_sets: list[Job]) -> dict[str, str]:
    """Copy or draw pictures of the run's results; file names by captions."""
    from bright_pipeline.data.pictures import contact_sheet, save_picture

    pictures: dict[str, str] = {}
    if reconstructed and reconstructed.has("pairs.png"):
        shutil.copyfile(reconstructed.path("pairs.png"), folder / "reconstructions.png")
        pictures["Validation images and their reconstructions"] = "reconstructions.png"
    for job in sample_sets:
        images = ImageArchive(Path(job.outputs[0]))
        sheet = to_model(images.tensor(range(min(SHOWN, len(images)))))
        file = f"samples-{_name(job)}.png"
        save_picture(folder / file, contact_sheet(list(sheet.split(ROW))))
        pictures[f"Images of the sample set {_name(job)}, the first ones"] = file
    return pictures
