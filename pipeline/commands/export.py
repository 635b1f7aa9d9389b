"""Hand a trained model over: a folder with weights, settings, a model card made from the results, and samples.

The folder is whole or absent, and nothing is ever replaced. Python reads it again wherever this package is installed:
`load_autoencoder(FOLDER)` or `load_generator(FOLDER)`. It is what one uploads to a hub.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.atomic import new_folder, write_json, write_text
from pipeline.base.command import run_stage
from pipeline.base.errors import InputError
from pipeline.base.parsing import read_json
from pipeline.base.paths import DEMO
from pipeline.config.root import read_config
from pipeline.families import autoencoder_family, generator_family
from pipeline.plan.shards import planned
from pipeline.settings.weights import EXPORTED
from pipeline.stages.autoencoders import RECONSTRUCT, autoencoder, reconstruction
from pipeline.stages.common import Job, Jobs, closure
from pipeline.stages.datasets import dataset
from pipeline.stages.evaluation import SCORE_FEATURES
from pipeline.stages.generation import GENERATE, diffusion, generator

SECTIONS = ("autoencoders", "generators", "diffusions")
WEIGHTS = {
    "autoencoder": "the autoencoder's weights, with its settings",
    "diffusion": "the diffusion model's UNet, with its settings",
    "generator": "the generator's weights, with its settings",
}
SUMMARY = "summary.json"
SHOWN, ROW = 16, 8  # images of a sample set, and how many stand side by side


def export(
    name: Annotated[str, typer.Argument(help="An entry of the config: main, or autoencoders.main where several are.")],
    folder: Annotated[Path, typer.Argument(help="Where the model goes: a new folder.")],
    config: Annotated[Path, typer.Option(help="The run's config file.")] = DEMO,
    licence: Annotated[
        str | None, typer.Option("--license", help="Of the weights, such as cc-by-4.0; by default unknown.")
    ] = None,
) -> None:
    """Write a trained model into a folder of its own, with its results as a model card.

    An autoencoder takes the diffusion model on its codes along where that is trained, a generator of codes its decoder.
    """
    jobs = Jobs(read_config(config))
    models = chosen(jobs, name)
    with new_folder(folder) as temporary:
        write_folder(jobs, temporary, models, folder.name, licence)
    print(f"{folder}: {', '.join(job.entry for job in models.values())}, with README.md")


def chosen(jobs: Jobs, name: str) -> dict[str, Job]:
    """The models of an entry, by what they are of; InputError where there is no such entry, or no weights."""
    section, _, rest = name.partition(".")
    if section in SECTIONS and rest:
        found, name = [section] * (rest in getattr(jobs.config, section)), rest
    else:
        found = [section for section in SECTIONS if name in getattr(jobs.config, section)]
        found = found[:1] if found == ["autoencoders", "diffusions"] else found
    if not found:
        known = ", ".join(f"{section}.{one}" for section in SECTIONS for one in getattr(jobs.config, section))
        raise InputError(f"{name!r}: no trained model of the config, which has {known}")
    if len(found) > 1:
        raise InputError(f"{name!r}: several entries: say {' or '.join(f'{section}.{name}' for section in found)}")
    models = _models(jobs, found[0], name)
    for sort, job in models.items():
        if not job.has(f"{sort}.safetensors"):
            raise InputError(f"{job.entry}: not trained yet ({job.folder}): run snakemake, or dvc pull")
    return models


def _models(jobs: Jobs, section: str, name: str) -> dict[str, Job]:
    config = jobs.config
    match section:
        case "generators":
            decoder = config.generators[name].autoencoder
            return ({"autoencoder": jobs(autoencoder, decoder)} if decoder else {}) | {
                "generator": jobs(generator, name)
            }
        case "diffusions":
            decoder = config.diffusions[name].autoencoder
            return {"autoencoder": jobs(autoencoder, decoder), "diffusion": jobs(diffusion, name)}
    on_its_codes = [jobs(diffusion, key) for key, one in config.diffusions.items() if one.autoencoder == name]
    trained = [job for job in on_its_codes if job.has("diffusion.safetensors")]
    return {"autoencoder": jobs(autoencoder, name)} | ({"diffusion": trained[0]} if trained else {})


def write_folder(jobs: Jobs, folder: Path, models: dict[str, Job], folder_name: str, licence: str | None) -> None:
    """All that an exported folder has."""
    from pipeline.generation.exported import write_weights
    from pipeline.page.model_card import Card, model_card

    write_weights(folder, {sort: Path(job.path(f"{sort}.safetensors")) for sort, job in models.items()})
    main = models.get("generator") or models["autoencoder"]
    section, _, entry = main.entry.partition(".")
    trained_on = jobs.config.dataset_of(getattr(jobs.config, section)[entry])
    manifest = jobs(dataset, trained_on).folder / "manifest.json"
    if not manifest.exists():
        raise InputError(
            f"{manifest}: not here, and the model card tells of the data by it: run snakemake, or dvc pull"
        )
    data = read_json(manifest, f"manifest {manifest}")
    entries = {sort: getattr(jobs.config, f"{sort}s")[_name(job)] for sort, job in models.items()}
    # Where an imported checkpoint lay is its owner's affair.
    settings = {sort: entry.model_copy(update={"weights": None}).numerical() for sort, entry in entries.items()}
    write_json(folder / "settings.json", settings)
    sets = sample_sets(jobs, models)
    pictures = write_pictures(jobs, folder, models, sets)
    card = Card(
        name=folder_name,
        method=_method(jobs, models),
        tags=tuple(
            dict.fromkeys(["bright", *(getattr(one, "family", "latent-diffusion") for one in entries.values())])
        ),
        generates=len(models) > 1 or "generator" in models,
        licence=licence,
        dataset=trained_on,
        data=data,
        summaries=measured(jobs, models, sets),
        pictures=pictures,
        files=contents(folder, models),
        digests={job.stage.name: job.digest for job in models.values()},
    )
    write_text(folder / "README.md", model_card(card))


def _name(job: Job) -> str:
    return job.entry.partition(".")[2]


def _method(jobs: Jobs, models: dict[str, Job]) -> str:
    parts = []
    if "generator" in models:
        parts.append(generator_family(jobs.config.generators[_name(models["generator"])].family).method)
    if "autoencoder" in models:
        parts.append(autoencoder_family(jobs.config.autoencoders[_name(models["autoencoder"])].family).method)
    return " on codes of ".join(parts) + (" with a latent diffusion model" if "diffusion" in models else "")


def sample_sets(jobs: Jobs, models: dict[str, Job]) -> list[Job]:
    """The finished sample sets of the model that generates."""
    maker = models.get("generator") or models.get("diffusion")
    made = [job for job in jobs(planned).values() if job.stage is GENERATE and job.complete]
    return [job for job in made if maker in job.upstream]


def measured(jobs: Jobs, models: dict[str, Job], sets: list[Job]) -> dict[str, Path]:
    """The finished summaries of the models, by what they are of."""
    of = {job.key for job in sets}
    if "autoencoder" in models:
        of.add(jobs(reconstruction, _name(models["autoencoder"])).key)
    done = [job for job in jobs(planned).values() if job.stage in (RECONSTRUCT, SCORE_FEATURES) and job.has(SUMMARY)]
    done = [job for job in done if of & {one.key for one in closure([job])}]
    return {_told(job): job.folder / SUMMARY for job in sorted(done, key=lambda job: job.stage is not RECONSTRUCT)}


def _told(job: Job) -> str:
    if job.stage is RECONSTRUCT:
        return "Reconstruction of the validation images"
    if job.settings["kind"] == "reconstruction_distance":
        return f"Reconstructions as a set, {job.entry.partition(' in ')[2]}"
    return f"{job.settings['count']} images of {job.entry.partition('.')[2].replace(' in ', ', ')}"


def write_pictures(jobs: Jobs, folder: Path, models: dict[str, Job], sets: list[Job]) -> dict[str, str]:
    """Pictures of what the run made, by what they show."""
    import shutil

    from pipeline.data.archive import ImageArchive, to_model
    from pipeline.data.pictures import contact_sheet, save_picture

    shown: dict[str, str] = {}
    if "autoencoder" in models:
        made = jobs(reconstruction, _name(models["autoencoder"]))
        if made.has("pairs.png"):
            shutil.copyfile(made.path("pairs.png"), folder / "reconstructions.png")
            shown["Validation images and their reconstructions"] = "reconstructions.png"
    for job in sets:
        images = ImageArchive(Path(job.outputs[0]))
        sheet = to_model(images.tensor(range(min(SHOWN, len(images)))))
        file = f"samples-{_name(job)}.png"
        save_picture(folder / file, contact_sheet(list(sheet.split(ROW))))
        shown[f"Images of the sample set {_name(job)}, the first ones"] = file
    return shown


def contents(folder: Path, models: dict[str, Job]) -> dict[str, str]:
    """What lies in the folder, by file."""
    told = {EXPORTED[sort]: WEIGHTS[sort] for sort in models}
    told["settings.json"] = "the same settings, to read"
    if (folder / "unet").exists():
        told["unet/config.json"] = "the UNet, for diffusers' UNet2DModel.from_pretrained(FOLDER, subfolder='unet')"
        told["scheduler/scheduler_config.json"] = "the noise schedule, for its DDPMScheduler, likewise"
        told.setdefault(EXPORTED["diffusion"], "the UNet's weights alone")
    return told


if __name__ == "__main__":
    run_stage(export)
