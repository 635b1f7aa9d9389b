"""Config of weights from elsewhere: another program's in place of a training, or any trained ones to begin one with."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, model_validator

from pipeline.settings.fields import Name, Section, added, by_content

ForeignKind = Literal["taming_vqgan", "ldm_vq", "ldm_kl", "rqvae", "ldm", "diffusers_ddpm"]

# What each kind becomes: the sort of entry, and its family where entries have one.
BECOMES: dict[str, tuple[str, str | None]] = {
    "taming_vqgan": ("autoencoder", "vqgan"),
    "ldm_vq": ("autoencoder", "vqgan"),
    "ldm_kl": ("autoencoder", "kl"),
    "rqvae": ("autoencoder", "rqvae"),
    "ldm": ("diffusion", None),
    "diffusers_ddpm": ("generator", "ddpm"),
}


# The weights in a folder of `bright export`, by what they are of. The UNet's lie where diffusers looks for them.
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
    path: str = Field(description="The checkpoint's file, or the folder.")


ImportedWeights = Annotated[
    ForeignWeights | None, Field(description="Another program's checkpoint, imported in place of a training.")
]


class OwnWeights(Section):
    """Weights that a training here left, or an import: another entry's, or a file's."""

    entry: Name | None = Field(None, description="The name of another entry of the section; its name alone says it.")
    path: str | None = Field(None, description="The file (safetensors), or a folder of `bright export`.")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"entry": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_of_them(self) -> "OwnWeights":
        if (self.entry is None) == (self.path is None):
            raise ValueError("the name of another entry, or {path: FILE}")
        return self

    def of_sort(self, sort: str) -> "OwnWeights":
        """With a path: the file of an autoencoder or a diffusion model; told by its name, also where nothing is."""
        path = Path(self.path or "")
        return self if path.suffix == ".safetensors" else OwnWeights(path=str(path / EXPORTED[sort]))


InitialWeights = Annotated[
    OwnWeights | None,
    by_content(
        None,
        "What the training begins with in place of random weights: the name of another entry of this section, trained"
        " or imported, or `{path: FILE}`. Of the same architecture; averages and learning curves begin at step 0.",
    ),
    WithJsonSchema({"anyOf": [{"type": "string"}, OwnWeights.model_json_schema(), {"type": "null"}]}),
]


SnapshotOf = Annotated[
    str | None,
    added(
        None,
        None,
        "The entry whose weights these are, as its training had them after the images or steps that this entry's"
        " `training` says; all else is as there, and nothing is trained. `execution.keep_every` there divides those"
        " steps. Without a decay of the learning rate they have the bits of a training that ends there; with one, they"
        " are in the middle of it.",
    ),
]


def check_weights(
    weights: ForeignWeights | None, sort: str, family: str | None, initial: OwnWeights | None = None
) -> None:
    """ValueError, beginning with the key, where a checkpoint does not become such an entry."""
    if weights is None:
        return
    if initial is not None:
        raise ValueError(
            "initial_weights: not beside weights, which is an import without a training: name an entry that has weights"
        )
    needed, needed_family = BECOMES[weights.kind]
    if sort != needed:
        raise ValueError(f"weights.kind: {weights.kind} is for an entry of {needed}s, not of {sort}s")
    if needed_family is not None and family != needed_family:
        raise ValueError(f"weights.kind: {weights.kind} is for the family {needed_family}, not {family}")


def training_steps(training: Any) -> int:
    """Steps of a training, whose length is said in steps or in images."""
    return training.steps if hasattr(training, "steps") else -(-training.images // training.batch)


def length_key(training: Any) -> str:
    """The key that says how long a training is."""
    return "steps" if hasattr(training, "steps") else "images"


def check_snapshot(snapshot: Any, trained: Any) -> None:
    """ValueError, beginning with the key, where this entry cannot be a snapshot of that one's training."""
    of, key = snapshot.snapshot_of, length_key(trained.training)
    if trained.snapshot_of is not None or trained.weights is not None or snapshot.weights is not None:
        raise ValueError(f"snapshot_of: the name of an entry that is trained, which {of} is not")
    for name, own in _apart(snapshot, key).items():
        if own != _apart(trained, key)[name]:
            raise ValueError(f"{name}: as in {of}, whose snapshot this is, but for training.{key}")
    steps, every = training_steps(snapshot.training), trained.execution.keep_every
    if not every or steps % every or steps > training_steps(trained.training):
        raise ValueError(
            f"training.{key}: {of} keeps no snapshot after {steps} steps: its execution.keep_every, {every}, must"
            f" divide them, and they must be at most its training's {training_steps(trained.training)}"
        )


def _apart(entry: Any, key: str) -> dict[str, Any]:
    """Its keys but for the length of its training and how it runs."""
    values = entry.model_dump(mode="json", exclude={"snapshot_of": True, "execution": True, "training": {key}})
    return values | {"precision": entry.execution.precision, "cpu_threads": entry.execution.cpu_threads}
