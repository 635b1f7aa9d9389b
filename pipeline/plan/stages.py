"""The stages: where each one's results lie, which files they are, and which code can change their numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One kind of job."""

    section: str
    """The folder under results/store."""
    outputs: tuple[str, ...]
    """File names in the job's folder; the workflow's rule declares the same (a test holds it to that)."""
    code: tuple[str, ...]
    """Modules whose code (and their imports') can change the numbers; a job adds those of its models' families."""


STAGES = {
    "prepare_dataset": Stage("datasets", ("train.zip", "validation.zip", "manifest.json"), ("pipeline.data.prepare",)),
    "train_autoencoder": Stage(
        "autoencoders",
        ("autoencoder.safetensors", "autoencoder.history.csv", "autoencoder.preview.png"),
        ("pipeline.training.autoencoder", "pipeline.training.loop"),
    ),
    "import_weights": Stage(
        "imports",
        (),
        (
            "pipeline.foreign.files",
            "pipeline.foreign.first_stages",
            "pipeline.foreign.unets",
            "pipeline.foreign.diffusers_folders",
            "pipeline.models.unet",
        ),
    ),
    "reconstruct": Stage(
        "reconstructions",
        ("reconstructions.zip", "per_image.csv", "summary.json", "pairs.png"),
        (
            "pipeline.generation.reconstructions",
            "pipeline.evaluation.reconstruction",
            "pipeline.evaluation.protocol",
        ),
    ),
    "complexity": Stage("complexity", ("complexity.json",), ("pipeline.complexity",)),
    "dump_codes": Stage(
        "codes",
        ("codes.safetensors", "hits.npz", "statistics.json"),
        ("pipeline.generation.encoding", "pipeline.generation.hits"),
    ),
    "measure_codes": Stage(
        "code_measurements",
        ("summary.json",),
        (
            "pipeline.measure_codes",
            "pipeline.evaluation.code_noise",
            "pipeline.evaluation.storage",
            "pipeline.evaluation.usage",
            "pipeline.evaluation.protocol",
        ),
    ),
    "measure_decoding": Stage("decodings", ("decoding.json",), ("pipeline.measure_decoding",)),
    "explore_codes": Stage(
        "explorations",
        ("interpolation.zip", "resolutions.zip", "groups.zip", "columns.json"),
        ("pipeline.generation.exploration", "pipeline.explore_codes"),
    ),
    "train_diffusion": Stage(
        "diffusions",
        ("diffusion.safetensors", "diffusion.history.csv", "diffusion.preview.png"),
        ("pipeline.training.diffusion", "pipeline.training.loop"),
    ),
    "train_generator": Stage(
        "generators",
        ("generator.safetensors", "generator.history.csv", "generator.preview.png"),
        ("pipeline.training.loop",),
    ),
    "generate": Stage(
        "samples", (), ("pipeline.generation.images", "pipeline.models.samplers", "pipeline.generation.files")
    ),
    "extract_features": Stage("features", (), ("pipeline.evaluation.features",)),
    "score_features": Stage(
        "evaluations",
        ("summary.json",),
        ("pipeline.evaluation.metrics", "pipeline.evaluation.protocol", "pipeline.evaluation.summaries"),
    ),
    "nearest_neighbours": Stage(
        "neighbours",
        ("neighbours.csv", "summary.json", "neighbours.png"),
        ("pipeline.evaluation.neighbours",),
    ),
    "make_table": Stage("tables", ("table.csv", "table.md", "table.tex", "table.json"), ("pipeline.make_table",)),
    "make_figure": Stage("figures", ("figure.png", "figure.pdf"), ("pipeline.make_figure",)),
    "make_report": Stage("reports", ("report.html",), ("pipeline.make_report",)),
}
