"""All generation metrics equal torch-fidelity's and clean-fid's, on networks of the true architectures."""

import json
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
from bright_pipeline.commands.evaluate import evaluate
from bright_pipeline.evaluation.summary import read_summary
from reference_metrics import pictures, reference_metrics, save_networks

pytestmark = pytest.mark.slow

COUNT = 12


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, float], dict[str, float]]:
    """Ours and the libraries' metrics of 12 images against 12 others."""
    folder = tmp_path_factory.mktemp("metrics")
    networks = save_networks(folder / "networks")
    made, real = pictures(folder / "made", COUNT, 4, contrast=0.9), pictures(folder / "real", COUNT, 2)
    settings = {"networks": ["inception", "clip", "vgg16"], "micro_batch": COUNT}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("cleanfid.fid.linalg.sqrtm", root_of_few)
        patch.setattr("numpy.linalg.eigvals", eigenvalues_of_few)
        evaluate(made, real, settings=json.dumps(settings), networks=networks)
        theirs = reference_metrics(made, real, networks)
    ours = {}
    for path in (folder / "results" / "evaluations" / "made").glob("summary-*.json"):
        ours |= read_summary(path).numbers
    return ours, theirs


def eigenvalues_of_few(product: np.ndarray) -> np.ndarray:
    """The eigenvalues of a product of two covariances of 12 images, in a second: 11 of them are not 0.

    Our distances and the libraries' both use this function here; tests/evaluation/test_frechet.py compares them with
    all eigenvalues.
    """
    found = scipy.sparse.linalg.eigs(product, k=COUNT, return_eigenvectors=False)
    return np.concatenate([found.real.clip(0), np.zeros(len(product) - COUNT)])


def root_of_few(product: np.ndarray, disp: bool = True) -> Any:
    """A diagonal matrix with the trace of scipy's square root; clean-fid reads only the trace."""
    root = np.diag(np.sqrt(eigenvalues_of_few(product)))
    return root if disp else (root, 0.0)


def test_every_metric_equals_the_librarys_own(measured: tuple[dict[str, float], dict[str, float]]) -> None:
    ours, theirs = measured
    assert ours.keys() >= theirs.keys() and len(theirs) == 8, "density, coverage and KID have tests of their own"
    for metric, expected in theirs.items():
        print(f"{metric}: {ours[metric]:.9g}, {expected:.9g}")
        assert ours[metric] == pytest.approx(expected, rel=1e-4), metric
        assert expected > 1e-4, "not trivial"
    assert theirs["vgg16.precision"] < 1 and theirs["vgg16.recall"] < 1
    assert theirs["inception.frechet_distance"] != pytest.approx(theirs["inception_clean.frechet_distance"], rel=1e-3)
