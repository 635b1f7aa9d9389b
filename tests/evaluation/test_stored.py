"""What codes and shared weights store: bits against entropies; tuning and exchanges with a model of known answers."""

import math
from types import SimpleNamespace

import pytest
import torch
from bright_pipeline.evaluation import image_codecs, stored
from torch import Tensor, nn

DRAWS = torch.Generator().manual_seed(0)


class Enlarging(nn.Module):
    """The mean of a code's channels (N, C, 4, 4), each number enlarged to 4 x 4 pixels, plus a learned offset."""

    code_range, resolution = (0.0, 1.0), 16
    settings = SimpleNamespace(
        losses=SimpleNamespace(l2_weight=1.0, perceptual_weight=1.0), training=SimpleNamespace(learning_rate=0.1)
    )

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(1, 1)
        self.shared.weight.data.zero_()
        self.shared.bias.data.zero_()
        self.requires_grad_(False)

    def encode(self, images: Tensor) -> Tensor:
        return (images[:, :, ::4, ::4] / 2 + 0.5).repeat(1, 2, 1, 1) * 0.9

    def decode(self, codes: Tensor) -> Tensor:
        pixels = 2 * codes.mean(1, keepdim=True) - 1 + self.shared.bias
        return pixels.repeat_interleave(4, 2).repeat_interleave(4, 3)


def squares(count: int) -> Tensor:
    """Images (N, 1, 16, 16) of squares of 4 x 4 pixels."""
    values = torch.randint(64, 192, (count, 1, 4, 4), dtype=torch.uint8, generator=DRAWS)
    return values.repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_levels_are_even_between_the_ends_of_a_channel_and_b_bits_cost_the_variance_of_a_step() -> None:
    known = torch.rand(2000, 2, 4, 4, generator=DRAWS) * torch.tensor([1.0, 0.1])[:, None, None]
    for bits in (1, 3, 8):
        whole, values = stored.levels(known, known, bits)
        assert whole.unique().tolist() == list(range(2**bits))
        steps = (known.amax((0, 2, 3)) - known.amin((0, 2, 3))) / (2**bits - 1)
        error = (values - known).square().mean((0, 2, 3))
        assert torch.allclose(error, steps.square() / 12, rtol=0.05)
    beyond, _ = stored.levels(torch.full((1, 2, 4, 4), 7.0), known, 3)
    assert beyond.unique().tolist() == [7], "other images' codes stay within the levels"


def test_a_code_has_the_entropy_of_its_numbers_and_numbers_say_something_about_each_other() -> None:
    deviation = 20.0
    independent = torch.randn(5000, 1, 2, 2, generator=DRAWS, dtype=torch.float64) * deviation
    entropy = math.log2(deviation * math.sqrt(2 * math.pi * math.e))
    assert stored.coded_bits(independent.round(), independent.round()) == pytest.approx(4 * entropy, rel=0.01)
    first = independent[:, :, :1].round()
    twice = torch.cat([first, first], dim=2)
    assert stored.coded_bits(twice, twice) < 2 * entropy + 2, "the copies cost next to nothing"
    assert math.isfinite(stored.coded_bits(twice + 1000, twice)), "numbers that training never had"


def test_a_code_keeps_the_fewest_bits_that_cost_a_tenth_of_a_decibel() -> None:
    model, images = Enlarging(), squares(32)
    codes, quality = stored.encode(model, images), stored.quality_with(None)
    numbers = stored.bits_of_numbers(model, images, codes, codes, quality)
    exact = quality(images, stored.decode(model, codes))["psnr"]
    enough = next(bits for bits in stored.KEY_BITS if exact - numbers[f"psnr_{bits}"] <= 0.1)
    assert 1 < enough < 8 and numbers["number_bits"] == enough
    assert numbers["bits_coded"] == numbers[f"bits_{enough}"] < numbers["bits_8"]
    assert numbers["psnr_coded"] == numbers[f"psnr_{enough}"] > numbers["psnr_1"] + 3
    of_one_image = stored.bits_of_numbers(model, images, codes, codes[:1], quality)
    assert "psnr_coded" in of_one_image and "bits_coded" not in of_one_image, "one code has no covariance"


def test_tuned_codes_reach_the_images_and_tuned_weights_change_earlier_images() -> None:
    model, images, earlier = Enlarging(), squares(8), squares(8)
    quality = stored.quality_with(None)
    before = quality(images, stored.decode(model, stored.encode(model, images)))["psnr"]
    alone = stored.tuned(model, images, earlier, [], 60, None, quality)
    both = stored.tuned(model, images, earlier, ["shared"], 60, None, quality)
    assert alone["psnr"] > before + 3 and alone["fall"] == 0
    assert both["psnr"] > before + 3 and both["fall"] < 0, "every image was too dark, and the offset mends that"
    assert float(model.shared.bias) == 0, "the trained model stays"


def test_an_exchanged_channel_or_quadrant_changes_what_the_decoder_makes_of_it() -> None:
    codes = torch.rand(16, 2, 4, 4, generator=DRAWS)
    codes[:, 1] = codes[:1, 1]  # the same in all images
    numbers = stored.exchanged(Enlarging(), codes)
    change = 255 * (codes[:, 0] - codes.roll(1, 0)[:, 0]) / 2
    assert numbers["channel_most"] == pytest.approx(float(change.square().mean().sqrt()), abs=0.5)
    assert numbers["channel_least"] == 0 and numbers["outside"] == 0
    assert numbers["coarse"] == pytest.approx(1), "an eighth of the side is half of a square"


def test_codecs_write_files_that_decode_and_more_quality_takes_more_bits() -> None:
    rough = torch.rand(9, 1, 8, 8, generator=DRAWS)
    images = (255 * nn.functional.interpolate(rough, scale_factor=4, mode="bicubic").clamp(0, 1)).to(torch.uint8)
    quality = stored.quality_with(None)
    low, high = (image_codecs.codec_bits(images, quality, {"psnr": psnr}) for psnr in (30.0, 36.0))
    assert low.keys() == high.keys() and len(low) == 8, "four codecs, one by one and in a mosaic"
    for name in low:
        assert low[name] < high[name] < 32 * 32 * 8, name
        if name.endswith("_mosaic_psnr"):
            assert low[name] < low[name.replace("mosaic", "single")], "headers count once"
    assert image_codecs.codec_bits(images, quality, {"psnr": 99.0}) == {}, "no file is that good"
    pixels = images.permute(0, 2, 3, 1).numpy()
    bits, read = image_codecs.compressed(pixels, "WEBP", {"lossless": True})
    assert (read == pixels).all() and bits < 8 * pixels.size
