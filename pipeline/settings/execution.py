"""Config of how a training runs: precision, threads, processes, saved states."""

from typing import Literal

from pydantic import Field

from pipeline.settings.fields import Section, operational

Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio", "aim", "comet_ml", "clearml", "dvclive", "swanlab"]
Precision = Literal["fp32", "tf32", "fp16", "bf16"]


class Execution(Section):
    """How a training runs; `precision` and `cpu_threads` can change bits, `micro_batch` and processes roundings."""

    precision: Precision = Field(
        "fp32",
        description="fp16, bf16: accelerate's mixed precision; tf32: 10 bits of fraction in matrix products too, which"
        " torch has in convolutions on CUDA by default. Tables, F_mlp and losses stay in 32 bits.",
    )
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU: fixed, since sums depend on it.")
    micro_batch: int | None = operational(
        None,
        "Images or codes that a process sees at once: gradients of its share of a batch are added up in parts, which"
        " takes less memory. Sums are rounded otherwise, as with another number of processes; nothing else changes."
        " Refused where a step looks at a whole batch (batch norm, an adaptive adversary, restarted codebooks). By"
        " default all at once.",
        ge=1,
    )
    checkpointing: bool = operational(
        False,
        "Keep only what enters the blocks of the model, and compute what lies inside again on the way back: about a"
        " third more time, a fraction of the memory, the same bits.",
    )
    compile: bool = operational(
        False,
        "torch.compile of the networks that are trained, some minutes before the first step: fewer and larger kernels"
        " on a GPU. Sums are rounded otherwise. Critics stay as they are, whose penalties differentiate twice.",
    )
    channels_last: bool = operational(
        False,
        "Features lie with their channels last, as a GPU's tensor cores read them in 16 bits and TF32. Sums are rounded"
        " otherwise.",
    )
    gpus: int = operational(
        1,
        "GPUs on each node (torchrun's --nproc-per-node, Slurm's --gpus-per-node), one process each, which share the"
        " batch; 0: the CPU.",
        ge=0,
    )
    nodes: int = operational(1, "Nodes of one Slurm job: gpus x nodes processes.", ge=1)
    save_every_s: float = operational(
        180.0, "Seconds between saved states; more where each takes over 5 to save: a twentieth of the time.", gt=0
    )
    log_every: int = operational(20, "Steps between rows of the history.", ge=1)
    validate_every: int = operational(
        0,
        "Steps between measurements of an autoencoder's averaged weights on the first 256 validation images: PSNR, SSIM"
        " and LPIPS, in the history, TensorBoard and the page. 0: none.",
        ge=0,
    )
    keep_every: int = operational(
        0,
        "Steps between snapshots of the averaged weights, which lie beside the saved states: entries with `snapshot_of`"
        " take theirs from there. 0: none.",
        ge=0,
    )
    trackers: tuple[Tracker, ...] = operational(
        ("tensorboard",),
        "Where curves are followed while a training runs, beside its history: accelerate's trackers. All but"
        " tensorboard are packages to be installed; what is sent where is theirs to say.",
    )
    previews: int = operational(10, "Preview pictures over the whole training.", ge=0)

    @property
    def processes(self) -> int:
        """Processes on all nodes."""
        return max(1, self.gpus) * self.nodes

    def check_without_images(self) -> None:
        """What is no autoencoder reconstructs nothing."""
        if self.validate_every:
            raise ValueError("execution.validate_every: of autoencoders alone, which reconstruct images; leave it out")

    def check_batch(self, batch: int, at_once: str | None = None, group: int = 1) -> None:
        """Each process takes the same share of a batch, in parts that a step can be made of.

        at_once: what looks at a whole batch, if anything does. group: items whose statistics are taken together.
        """
        share, rest = divmod(batch, self.processes)
        if rest:
            raise ValueError(
                f"training.batch: divisible by the processes (execution.gpus x execution.nodes = {self.processes}),"
                f" not {batch}"
            )
        if self.micro_batch is None or self.micro_batch >= share:
            return
        if at_once is not None:
            raise ValueError(
                f"execution.micro_batch: {at_once} looks at the whole batch, which is then not seen in parts; leave it"
                " out, and save memory by execution.checkpointing"
            )
        if self.micro_batch % group:
            raise ValueError(
                f"execution.micro_batch: divisible by discriminator.minibatch_deviation = {group}, not"
                f" {self.micro_batch}"
            )
