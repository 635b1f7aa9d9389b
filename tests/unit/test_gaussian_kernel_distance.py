"""CMMD: the authors' formula on random embeddings, an interval that holds, and the authors' embeddings."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from jackknife import half_width
from PIL import Image
from scipy.spatial.distance import cdist
from torch_fidelity.feature_extractor_clip import CLIPVisual

from pipeline.base.errors import InputError
from pipeline.evaluation.feature_files import FeatureSet
from pipeline.evaluation.kernel_distance import gaussian_kernel_distance
from pipeline.evaluation.metrics import generation_metrics, metric_settings
from pipeline.models.metric_networks.networks import clip_l14_336


def embeddings(count: int, seed: int, shift: float = 0.0, width: int = 48) -> np.ndarray:
    """Of length 1, around one direction, as CLIP's are."""
    random = np.random.default_rng(seed).normal(size=(count, width))
    random[:, 0] += 5 + shift
    return (random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32)


def measured(made: np.ndarray, real: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The distance and its interval."""
    found = gaussian_kernel_distance(made, real)
    assert found.interval is not None
    return found.number, found.interval


def by_the_paper(made: np.ndarray, real: np.ndarray) -> float:
    """1000 times the squared MMD under a Gaussian kernel of bandwidth 10, each pair's distance taken by itself."""

    def mean_kernel(one: np.ndarray, other: np.ndarray) -> float:
        squared = cdist(one.astype(np.float64), other.astype(np.float64), "sqeuclidean")
        return float(np.exp(-squared / (2 * 10**2)).mean())

    return 1000 * (mean_kernel(made, made) + mean_kernel(real, real) - 2 * mean_kernel(made, real))


@pytest.mark.parametrize(("made", "real"), [(23, 31), (400, 250), (4, 90)])
def test_it_is_the_authors_formula(made: int, real: int) -> None:
    sets = embeddings(made, 0, 2.0), embeddings(real, 1)
    expected = by_the_paper(*sets)
    found, (low, high) = measured(*sets)
    assert expected > 0.1
    assert found == pytest.approx(expected, rel=1e-5)
    assert low < found < high


def test_embeddings_of_any_length_are_compared_too() -> None:
    sets = embeddings(30, 0) * 40, embeddings(30, 1) * 43
    assert measured(*sets)[0] == pytest.approx(by_the_paper(*sets), rel=1e-5)


def test_a_set_is_no_distance_from_itself() -> None:
    same = embeddings(50, 0)
    assert measured(same, same)[0] == pytest.approx(0, abs=1e-6)


def test_the_interval_is_from_distances_without_each_group() -> None:
    sets = embeddings(24, 0, 1.0), embeddings(30, 1)
    found, (low, high) = measured(*sets)
    assert (high - low) / 2 == pytest.approx(half_width(sets, by_the_paper), rel=1e-3)
    assert (high + low) / 2 == pytest.approx(found)


def test_95_of_100_intervals_hold_what_such_sets_have_on_average() -> None:
    draws = [measured(embeddings(80, 2 * i, 1.0), embeddings(90, 2 * i + 1)) for i in range(200)]
    distances = np.array([distance for distance, _ in draws])
    assert np.mean([low <= distances.mean() <= high for _, (low, high) in draws]) >= 0.91
    half = np.mean([(high - low) / 2 for _, (low, high) in draws])
    assert 0.9 <= half / (1.96 * distances.std()) <= 1.5, "up to 1.4 times as wide as needed where sets are alike"


def test_the_bias_of_equal_distributions_is_below_what_is_said() -> None:
    """1000 (1 - mean k) (1 / N + 1 / M) on average, which is below 10 (1 / N + 1 / M)."""
    found = [measured(embeddings(60, 2 * i), embeddings(40, 2 * i + 1))[0] for i in range(60)]
    many = embeddings(2000, 999)
    squared = cdist(many[:1000], many[1000:], "sqeuclidean")
    expected = 1000 * (1 - np.exp(-squared / 200).mean()) * (1 / 60 + 1 / 40)
    assert np.mean(found) == pytest.approx(expected, rel=0.1)
    assert 0 < np.mean(found) < 10 * (1 / 60 + 1 / 40)


def test_too_few_images_are_an_input_error() -> None:
    with pytest.raises(InputError, match="Gaussian kernel distance: needs at least 4 images a set, not 3"):
        gaussian_kernel_distance(embeddings(3, 0), embeddings(30, 1))


def small_clip() -> CLIPVisual:
    """CLIP's architecture at 336 px with patches of 14, small: width 64, two layers."""
    torch.manual_seed(0)
    return CLIPVisual(16, 336, 2, 64, 14)


def test_embeddings_are_the_authors_preprocessing_and_of_length_1() -> None:
    """Pillow's bicubic to 336, 8 bits; CLIP's normalisation; the projected class token over its length."""
    network = clip_l14_336({**small_clip().state_dict(), "text_projection": torch.zeros(8, 16)}).eval()
    coarse = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3), np.uint8)
    images = [np.asarray(Image.fromarray(one).resize((64, 64), Image.Resampling.BICUBIC)) for one in coarse]
    batch = []
    for image in images:
        pixels = np.asarray(Image.fromarray(image).resize((336, 336), Image.Resampling.BICUBIC)).astype(np.float32)
        scaled = (pixels / 255 - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
        batch.append(torch.from_numpy(scaled.astype(np.float32)).permute(2, 0, 1))
    transformer = network.network[0]
    with torch.no_grad():
        projected = transformer(torch.stack(batch))
        expected = projected / projected.norm(dim=1, keepdim=True)
        found, logits = network(torch.from_numpy(np.stack(list(map(network.resizer, images)))).permute(0, 3, 1, 2))
    assert logits is None
    assert found.shape == (3, 16)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))


def test_torchvisions_transformer_with_the_same_weights_gives_the_same_embeddings() -> None:
    """Another implementation of CLIP's transformer: pre-norm, QuickGELU, class token, projection."""
    torch.manual_seed(0)
    model = small_clip()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    weights = {name: tensor.half().float() for name, tensor in model.state_dict().items()}  # the file has 16 bits
    network = clip_l14_336({**weights, "text_projection": torch.zeros(8, 16)}).eval().network

    class QuickGELU(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.sigmoid(1.702 * x)

    get = {name.removeprefix("visual."): tensor for name, tensor in weights.items()}
    other = torchvision.models.VisionTransformer(336, 14, 2, 1, 64, 256, norm_layer=torch.nn.LayerNorm).eval()
    images = torch.randn(2, 3, 336, 336)
    with torch.no_grad():
        tokens = torch.nn.functional.conv2d(images, get["conv1.weight"], stride=14).flatten(2).transpose(1, 2)
        x = torch.cat([get["class_embedding"].expand(2, 1, -1), tokens], dim=1) + get["positional_embedding"]
        x = torch.nn.functional.layer_norm(x, (64,), get["ln_pre.weight"], get["ln_pre.bias"])
        for number, layer in enumerate(other.encoder.layers):
            old = f"transformer.resblocks.{number}."
            layer.mlp[1] = QuickGELU()
            layer.load_state_dict(
                {
                    **{f"ln_1.{kind}": get[f"{old}ln_1.{kind}"] for kind in ("weight", "bias")},
                    **{f"ln_2.{kind}": get[f"{old}ln_2.{kind}"] for kind in ("weight", "bias")},
                    **{
                        f"self_attention.in_proj_{kind}": get[f"{old}attn.in_proj_{kind}"]
                        for kind in ("weight", "bias")
                    },
                    **{f"self_attention.out_proj.{k}": get[f"{old}attn.out_proj.{k}"] for k in ("weight", "bias")},
                    **{f"mlp.0.{kind}": get[f"{old}mlp.c_fc.{kind}"] for kind in ("weight", "bias")},
                    **{f"mlp.3.{kind}": get[f"{old}mlp.c_proj.{kind}"] for kind in ("weight", "bias")},
                }
            )
            x = layer(x)
        x = torch.nn.functional.layer_norm(x[:, 0], (64,), get["ln_post.weight"], get["ln_post.bias"]) @ get["proj"]
        expected = x / x.norm(dim=1, keepdim=True)
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


def test_the_metric_has_its_name_and_its_protocol_in_its_space_alone(tmp_path: Path) -> None:
    facts = {"space": "clip_l14_336", "network": "clip_l14_336", "network_sha256": "0", "resize": "any"}
    sets = [
        FeatureSet(features, None, np.zeros((len(features), 32), np.uint8), facts)
        for features in (embeddings(20, 0, 1.0), embeddings(25, 1))
    ]
    assert generation_metrics(*sets).keys() == {"gaussian_kernel_distance"}
    told = metric_settings("clip_l14_336")
    assert told["gaussian_kernel_distance"] == "google-research/cmmd"
    assert told["kernel"] == "exp(-|x - y|^2 / 200), times 1000"
    assert "gaussian_kernel_distance" not in metric_settings("clip"), "a smaller CLIP has no CMMD"
