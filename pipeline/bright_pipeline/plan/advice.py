"""What the main numbers of a run mean, beside those of finished runs, and what to change first: lines for its end."""

from typing import Any

from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import known_images

# LPIPS and PSNR of reconstructions at 32 pixels: of the demo (results.md), BRIGHT of transfer.md and of colour.md.
REFERENCES = {"clothes": (0.0074, 27.5), "photographs": (0.0678, 24.18), "drawings": (0.0319, 20.55)}
ALIKE = 0.5  # dB, less than the spread over training seeds
FEWEST_SEEN = 9600  # images that these trainings saw, the demo's 36,000
FEWEST_IMAGES = 1795  # in these collections
COPIES = 0.5  # of validation images' distance to the training images: samples that are nearer are suspect


def advice(jobs: Jobs, numbers: dict[str, Any]) -> list[str]:
    """Lines on the first autoencoder and on the sample sets; numbers: as in metrics.json."""
    lines: list[str] = []
    name, measured = next(iter(numbers.get("reconstruction", {}).items()), ("", dict[str, float]()))
    if {"lpips_alex", "psnr"} <= measured.keys():
        ours, entry = (measured["lpips_alex"], measured["psnr"]), jobs.config.autoencoders[name]
        worse = [ours[0] > lpips and ours[1] < psnr - ALIKE for lpips, psnr in REFERENCES.values()]
        others = ", ".join(f"{lpips:.3f} and {psnr:.1f} dB on {of}" for of, (lpips, psnr) in REFERENCES.items())
        word = "blurry, worse than each" if all(worse) else "between them" if any(worse) else "as good as they are"
        lines.append(f"{name}: LPIPS {ours[0]:.3f}, PSNR {ours[1]:.1f} dB; reference runs: {others}. It is {word}.")
        seen, images = entry.training.images, jobs(known_images)[entry.dataset].train
        if seen < FEWEST_SEEN:
            least = f"which saw {FEWEST_SEEN:,} images or more, and it {seen:,}"
            lines.append(f"It is undertrained beside them, {least}: first raise autoencoders.{name}.training.images.")
        elif all(worse):
            lines.append(f"First try a larger code: autoencoders.{name}.code_size, which is {entry.code_size}.")
        if images < FEWEST_IMAGES:
            lines.append(f"{images:,} training images are few: a trained model helps (docs/start-from-a-model.md).")
    of_kind: dict[str, dict[str, float]] = {}  # Fréchet distances in the first feature space, by kind of samples
    for name, spaces in numbers.get("generation", {}).items():
        first: dict[str, float] = next(iter(next(iter(spaces.values())).values()))
        if "frechet_distance" in first and name in jobs.config.samples:
            of_kind.setdefault(jobs.config.samples[name].kind, {})[name] = first["frechet_distance"]
    for name, distance in of_kind.get("diffusion", {}).items():
        if distance >= min(of_kind.get("gaussian_codes", {"": float("inf")}).values()):
            least = f"samples.{name}: no better than codes of a Gaussian (Fréchet distance {distance:.0f})"
            lines.append(f"{least}: first raise the training.steps of its diffusion model.")
    for name, measured in numbers.get("neighbours", {}).items():
        if (ratio := measured.get("ratio", 1)) < COPIES:
            lines.append(f"samples.{name}: memorised? Its distance to training images is {ratio:.2f} of validation's.")
    return lines
