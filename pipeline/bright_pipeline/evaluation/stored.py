"""What codes and shared weights store, beyond the paper: the bits of a number, new images, exchanged parts.

Images are uint8 (N, C, R, R), codes (N, C_z, H_z, W_z).
"""

import copy
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bright_pipeline.base.progress import Progress
from bright_pipeline.data.archive import to_model, to_uint8
from bright_pipeline.evaluation.codes import MOST_NUMBERS
from bright_pipeline.evaluation.reconstruction import MICRO_BATCH, image_metrics
from bright_pipeline.models.autoencoder import ImageAutoencoder
from bright_pipeline.settings.quantities import KEY_BITS

TOLERATED_DB = 0.1  # the loss of PSNR up to which a number of a code may lose bits
CODE_RATE, WEIGHT_RATE = 0.03, 0.1  # Adam's, of tuned codes in their deviations, of tuned weights in training's rates
SMALLEST = 1e-12

Quality = Callable[[Tensor, Tensor], dict[str, float]]  # of originals and decoded images


def quality_with(lpips: nn.Module | None) -> Quality:
    """The function that measures mean PSNR (dB) and, with its module, LPIPS."""

    def quality(originals: Tensor, decoded: Tensor) -> dict[str, float]:
        pairs = zip(originals.split(MICRO_BATCH), decoded.split(MICRO_BATCH), strict=True)
        measured = [image_metrics(*pair, {} if lpips is None else {"lpips": lpips}) for pair in pairs]
        names = {"psnr", "lpips"} & measured[0].keys()
        return {name: float(torch.cat([part[name] for part in measured]).double().mean()) for name in names}

    return quality


@torch.no_grad()
def encode(model: ImageAutoencoder, images: Tensor) -> Tensor:
    return torch.cat([model.encode(to_model(part)) for part in images.split(MICRO_BATCH)])


def inside(model: ImageAutoencoder, codes: Tensor) -> Tensor:
    """Codes within the model's range."""
    return codes if model.code_range is None else codes.clamp(*model.code_range)


@torch.no_grad()
def decode(model: ImageAutoencoder, codes: Tensor) -> Tensor:
    return torch.cat([to_uint8(model.decode(part)) for part in inside(model, codes).split(MICRO_BATCH)])


def levels(codes: Tensor, known: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Codes as whole numbers below 2^bits, even between the ends of a channel in `known`; and rounded to these."""
    low, high = known.double().amin((0, 2, 3), keepdim=True), known.double().amax((0, 2, 3), keepdim=True)
    step = (high - low).clamp(min=SMALLEST) / (2**bits - 1)
    whole = ((codes.double() - low) / step).round().clamp(0, 2**bits - 1)
    return whole, (low + step * whole).float()


def coded_bits(whole: Tensor, known: Tensor) -> float:
    """The mean bits of codes of whole numbers in an arithmetic code, each number given those before it.

    The numbers of a code are taken to be normal, with the mean and covariance of those in `known`.
    """
    flat, seen = whole.flatten(1), known.flatten(1)
    rounding = torch.eye(seen.shape[1], dtype=torch.float64) / 12  # its variance
    factor = torch.linalg.cholesky(torch.cov(seen.T) + rounding)
    deviations = factor.diagonal()
    rest = torch.linalg.solve_triangular(factor, (flat - seen.mean(0)).T, upper=False).T * deviations
    normal = torch.distributions.Normal(0.0, deviations)
    return float(-(normal.cdf(rest + 0.5) - normal.cdf(rest - 0.5)).clamp(min=SMALLEST).log2().sum()) / len(flat)


def bits_of_numbers(
    model: ImageAutoencoder, images: Tensor, codes: Tensor, known: Tensor, quality: Quality
) -> dict[str, float]:
    """Quality and bits of an image by the bits of a number, and `NAME_coded`: with the fewest that cost 0.1 dB or less.

    known: codes of training images, from which ranges and distributions are taken. Codes of more than 4,096 numbers,
    and a single known code, have no bits: there is no covariance, or it takes too long.
    """
    has_covariance = codes[0].numel() <= MOST_NUMBERS and len(known) > 1
    exact = quality(images, decode(model, codes))["psnr"]
    numbers: dict[str, float] = {}
    for bits in KEY_BITS:
        (whole, values), (seen, _) = levels(codes, known, bits), levels(known, known, bits)
        at = quality(images, decode(model, values)) | ({"bits": coded_bits(whole, seen)} if has_covariance else {})
        numbers |= {f"{name}_{bits}": number for name, number in at.items()}
        if "number_bits" not in numbers and (exact - at["psnr"] <= TOLERATED_DB or bits == KEY_BITS[-1]):
            numbers |= {f"{name}_coded": number for name, number in at.items()} | {"number_bits": bits}
    return numbers


def tuned(
    trained: ImageAutoencoder,
    images: Tensor,
    earlier: Tensor,
    parts: Sequence[str],
    steps: int,
    perceptual: nn.Module | None,
    quality: Quality,
) -> dict[str, float]:
    """Quality of new images after Adam's steps on their codes and on these parts' weights of a copy of the model.

    `fall`: the loss of PSNR of earlier images, whose codes are those of the encoder.
    """
    model, losses = copy.deepcopy(trained), trained.settings.losses
    codes, known = encode(model, images).requires_grad_(), encode(model, earlier)
    weights = [weight.requires_grad_() for part in parts for weight in model.get_submodule(part).parameters()]
    rates = CODE_RATE * float(codes.detach().std((0, 2, 3)).mean()), WEIGHT_RATE * model.settings.training.learning_rate
    groups = [{"params": each, "lr": rate} for each, rate in zip(([codes], weights), rates, strict=True) if each]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    with Progress(f"tune {', '.join(['codes', *parts])}", steps, "steps") as progress:
        for _ in range(steps):
            optimizer.zero_grad()
            for originals, part in zip(to_model(images).split(MICRO_BATCH), codes.split(MICRO_BATCH), strict=True):
                decoded = model.decode(inside(model, part))
                loss = losses.l2_weight * F.mse_loss(decoded, originals)
                if perceptual is not None:
                    loss = loss + losses.perceptual_weight * perceptual(decoded, originals).mean()
                (loss * len(part) / len(images)).backward()
            optimizer.step()
            progress.advance()
    before, after = (quality(earlier, decode(each, known))["psnr"] for each in (trained, model))
    return quality(images, decode(model, codes.detach())) | {"fall": before - after}


def exchanged(model: ImageAutoencoder, codes: Tensor) -> dict[str, float]:
    """What changes where a channel, or a quadrant of positions, of a code comes from the next image.

    `channel_most`, `channel_least`: root mean square change by a channel, in levels of 8 bits. `coarse`: the share of
    all channels' squares in means over an eighth of each side. `outside`: the share of a quadrant's squares that is
    outside of it and of a margin of an eighth of the side.
    """
    whole, side = decode(model, codes).float(), model.resolution

    def change(*place: slice) -> Tensor:
        mixed = codes.clone()
        mixed[place] = codes.roll(1, 0)[place]
        return decode(model, mixed).float() - whole

    every = slice(None)
    channels = [change(every, slice(channel, channel + 1)) for channel in range(codes.shape[1])]
    squares = [float(each.square().mean()) for each in channels]
    coarse = sum(float(F.avg_pool2d(each, side // 8).square().mean()) for each in channels)
    quadrant = change(every, every, slice(codes.shape[2] // 2), slice(codes.shape[3] // 2)).square()
    near = side // 2 + side // 8
    return {
        "channel_most": max(squares) ** 0.5,
        "channel_least": min(squares) ** 0.5,
        "coarse": coarse / max(sum(squares), SMALLEST),
        "outside": 1 - float(quadrant[..., :near, :near].sum() / quadrant.sum().clamp(min=SMALLEST)),
    }
