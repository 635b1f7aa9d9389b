"""Config of how a training runs: precision, threads, processes, saved states."""

from typing import Literal

from bright_pipeline.settings.fields import Section, operational, setting

Precision = Literal["fp32", "tf32", "fp16", "bf16"]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio", "aim", "comet_ml", "clearml", "dvclive", "swanlab"]


class Execution(Section):
    """How a training runs. `precision` and `cpu_threads` change bits; `micro_batch` and processes only rounding."""

    precision: Precision = setting(
        "fp32",
        "fp16, bf16: accelerate's mixed precision; tf32: 10-bit mantissas also in matrix products, as"
        " torch uses in CUDA convolutions by default. Tables, F_mlp and losses stay in 32 bits.",
    )
    cpu_threads: int = setting(1, "Threads on a CPU. Fixed, because sums depend on it.", ge=1)
    micro_batch: int | None = operational(
        None,
        "Images or codes per forward and backward pass of a process; gradients are accumulated over its share of a"
        " batch. Less memory; only rounding changes. Refused if a step needs the whole batch (batch norm, an adaptive"
        " adversarial weight, restarted codebooks). By default the whole share.",
        ge=1,
    )
    checkpointing: bool = operational(
        False, "Recompute activations in the backward pass: a third more time, a fraction of the memory, the same bits."
    )
    compile: bool = operational(
        False,
        "torch.compile of the trained networks: some minutes before the first step, then fewer and larger kernels on a"
        " GPU. Rounding changes. Discriminators are not compiled, because their penalties differentiate twice.",
    )
    channels_last: bool = operational(
        False, "Store features with channels last, the layout of tensor cores in 16 bits and TF32. Rounding changes."
    )
    gpus: int = operational(
        1, "GPUs per node, with a process each, which share the batch (torchrun's --nproc-per-node). 0: the CPU.", ge=0
    )
    nodes: int = operational(1, "Nodes of one Slurm job: gpus x nodes processes.", ge=1)
    save_every_s: float = operational(
        180.0, "Seconds between saved states. Saves of more than 5 s get at most a twentieth of the time.", gt=0
    )
    log_every: int = operational(20, "Steps between rows of the history.", ge=1)
    validate_every: int = operational(
        0, "Autoencoders: steps between PSNR, SSIM, LPIPS of the EMA on the first 256 validation images. 0: none.", ge=0
    )
    keep_every: int = operational(0, "Steps between stored snapshots of the EMA, for `snapshot_of`. 0: none.", ge=0)
    trackers: tuple[Tracker, ...] = operational(
        ("tensorboard",),
        "accelerate's trackers of learning curves, besides the history. All but tensorboard need their own package.",
    )
    previews: int = operational(10, "Preview pictures over the whole training.", ge=0)

    @property
    def processes(self) -> int:
        return max(1, self.gpus) * self.nodes

    def check_without_images(self) -> None:
        """Refuse validation for a model that does not reconstruct images."""
        if self.validate_every:
            raise ValueError("execution.validate_every: only for autoencoders, which reconstruct images; leave it out")

    def check_batch(self, batch: int, whole_batch_component: str | None = None, group: int = 1) -> None:
        """Require equal shares of a batch for all processes, and micro-batches that a step allows.

        whole_batch_component: the part of a step that needs the whole batch, if any.
        group: items that share statistics.
        """
        share, rest = divmod(batch, self.processes)
        if rest:
            processes = f"the number of processes (execution.gpus x execution.nodes = {self.processes})"
            raise ValueError(f"training.batch: must be divisible by {processes}, not {batch}")
        if self.micro_batch is None or self.micro_batch >= share:
            return
        if whole_batch_component is not None:
            remedy = "leave micro_batch out, and save memory with execution.checkpointing"
            raise ValueError(f"execution.micro_batch: {whole_batch_component} needs the whole batch at once; {remedy}")
        if self.micro_batch % group:
            wanted = f"divisible by discriminator.minibatch_deviation = {group}"
            raise ValueError(f"execution.micro_batch: must be {wanted}, not {self.micro_batch}")
