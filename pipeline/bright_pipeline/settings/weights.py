"""Config of weights that are not trained by the entry: foreign checkpoints, initial weights, snapshots."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, model_validator

from bright_pipeline.settings.fields import Name, Section, added, hashed, setting

ForeignKind = Literal["taming_vqgan", "ldm_vq", "ldm_kl", "rqvae", "ldm", "diffusers_ddpm"]

# The type of entry that each kind of checkpoint is imported as, and its family if that type has families.
IMPORTED_AS: dict[str, tuple[str, str | None]] = {
    "taming_vqgan": ("autoencoder", "vqgan"),
    "ldm_vq": ("autoencoder", "vqgan"),
    "ldm_kl": ("autoencoder", "kl"),
    "rqvae": ("autoencoder", "rqvae"),
    "ldm": ("diffusion", None),
    "diffusers_ddpm": ("generator", "ddpm"),
}

# The weights in a folder of `bright export`, by type of entry. The UNet's path is the one that diffusers expects.
EXPORTED = {
    "autoencoder": "autoencoder.safetensors",
    "diffusion": "unet/diffusion_pytorch_model.safetensors",
    "generator": "generator.safetensors",
}


class ForeignWeights(Section):
    """A checkpoint of another program."""

    kind: ForeignKind = Field(
        description="taming_vqgan: taming-transformers' VQGAN; ldm_vq, ldm_kl: latent-diffusion's first stages; rqvae:"
        " rq-vae-transformer's; ldm: latent-diffusion's UNet; diffusers_ddpm: a folder of diffusers' DDPM."
    )
    path: str = hashed(..., "The checkpoint's file or folder.")


ImportedWeights = Annotated[ForeignWeights | None, Field(description="A checkpoint of another program to import.")]


class OwnWeights(Section):
    """Weights that this program trained or imported: those of another entry, or a file."""

    entry: Name | None = setting(None, "The name of another entry of the section; a bare name means this key.")
    path: str | None = setting(None, "The file (safetensors), or a folder of `bright export`.")

    @model_validator(mode="before")
    @classmethod
    def _from_bare_name(cls, value: Any) -> Any:
        return {"entry": value} if isinstance(value, str) else value

    def _check(self) -> None:
        if (self.entry is None) == (self.path is None):
            raise ValueError("must be the name of another entry, or {path: FILE}")

    def file_of(self, model_type: str) -> "OwnWeights":
        """With a path: the file of this type of entry. The suffix decides whether it is a folder; no file is read."""
        path = Path(self.path or "")
        return self if path.suffix == ".safetensors" else OwnWeights(path=str(path / EXPORTED[model_type]))


InitialWeights = Annotated[
    OwnWeights | None,
    Field(
        description="Initial weights of the training: the name of another entry of this section, trained or imported,"
        " or `{path: FILE}`, with the same architecture. EMA weights and learning curves start at step 0.",
        json_schema_extra={"by_content": True},  # digests contain the file's content, not its path
    ),
    WithJsonSchema({"anyOf": [{"type": "string"}, OwnWeights.model_json_schema(), {"type": "null"}]}),
]

SnapshotOf = Annotated[
    str | None,
    added(
        None,
        "The entry of which this one is a snapshot, after the images or steps of this entry's `training`. All other"
        " keys must be equal, and the other entry's `execution.keep_every` must divide the number of steps. Nothing is"
        " trained. Without a decay of the learning rate, the snapshot has the bits of a training that ends there.",
    ),
]


def check_weights(entry: Any, model_type: str) -> None:
    """ValueError, beginning with the key, if an entry's checkpoint cannot be imported as its type and family."""
    weights, family = entry.weights, getattr(entry, "family", None)
    if weights is None:
        return
    if getattr(entry, "initial_weights", None) is not None:
        remedy = "give the name of another entry that has weights"
        raise ValueError(f"initial_weights: cannot be combined with weights, imported without a training; {remedy}")
    needed, needed_family = IMPORTED_AS[weights.kind]
    if model_type != needed:
        raise ValueError(f"weights.kind: {weights.kind} is for entries of {needed}s, not of {model_type}s")
    if needed_family is not None and family != needed_family:
        raise ValueError(f"weights.kind: {weights.kind} is for the family {needed_family}, not {family}")


def training_steps(training: Any) -> int:
    """Steps of a training whose length is given in steps or in images."""
    return training.steps if hasattr(training, "steps") else -(-training.images // training.batch)


def check_snapshot(snapshot: Any, trained: Any) -> None:
    """ValueError, beginning with the key, if this entry cannot be a snapshot of that entry's training."""
    name, length = snapshot.snapshot_of, "steps" if hasattr(trained.training, "steps") else "images"
    if trained.snapshot_of is not None or trained.weights is not None or snapshot.weights is not None:
        raise ValueError(f"snapshot_of: must be the name of an entry that is trained, which {name} is not")
    required = _except_length(trained, length)
    for key, value in _except_length(snapshot, length).items():
        if value != required[key]:
            raise ValueError(f"{key}: must be as in {name}: a snapshot may only differ in training.{length}")
    steps, total = training_steps(snapshot.training), training_steps(trained.training)
    every = trained.execution.keep_every
    if not every or steps % every or steps > total:
        allowed = f"a multiple of its execution.keep_every, {every}, and at most its {total} steps"
        raise ValueError(f"training.{length}: {name} keeps no snapshot after {steps} steps, which must be {allowed}")


def _except_length(entry: Any, length: str) -> dict[str, Any]:
    """The keys of an entry except the length of its training and how it runs."""
    values = entry.model_dump(mode="json", exclude={"snapshot_of": True, "execution": True, "training": {length}})
    return values | {"precision": entry.execution.precision, "cpu_threads": entry.execution.cpu_threads}
