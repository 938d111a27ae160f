"""Taskonomy's normalisation against power iteration in float64 and cases worked out by hand."""

import numpy as np
import pytest

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate import transfer_affinities


def oracle(losses):
    """Win rates pair by pair, then power iteration."""
    sources, images = losses.shape
    rates = np.empty((sources, sources))
    for i in range(sources):
        for j in range(sources):
            wins = sum(
                1.0 if a < b else 0.5 if a == b else 0.0
                for a, b in zip(losses[i], losses[j], strict=True)
            )
            rates[i, j] = min(max(wins / images, 0.001), 0.999)
    vector = np.ones(sources) / sources
    for _ in range(5000):
        vector = (rates / rates.T) @ vector
        vector /= vector.sum()
    return vector


@pytest.mark.parametrize(("sources", "images"), [(1, 3), (2, 7), (6, 40), (15, 11)])
def test_it_is_the_principal_eigenvector(sources, images):
    rng = np.random.default_rng(sources)
    losses = rng.gamma(2, size=(3, sources, images)) * rng.random((3, sources, 1))
    losses[0, :, 0] = 1.0  # ties
    affinities = transfer_affinities(losses)
    np.testing.assert_allclose(affinities, [oracle(row) for row in losses], rtol=1e-9)
    np.testing.assert_allclose(affinities.sum(1), 1)


def test_two_sources_get_their_clipped_win_rates():
    losses = np.ones((2, 2, 10))
    losses[0, 0, :3] = 0.5  # three wins, seven ties
    losses[1, 0] = 0.5  # wins all, clipped
    expected = [[0.65, 0.35], [0.999, 0.001]]
    np.testing.assert_allclose(transfer_affinities(losses), expected, rtol=1e-12)


def test_only_the_order_of_losses_counts():
    losses = np.random.default_rng(1).gamma(2, size=(2, 5, 20))
    same = transfer_affinities(np.log(losses) * 1e-3)
    np.testing.assert_allclose(same, transfer_affinities(losses))


def test_a_source_without_transfers_changes_nothing_for_the_others():
    losses = np.random.default_rng(2).gamma(2, size=(2, 5, 20))
    expected = transfer_affinities(losses[:, [0, 1, 3, 4]])
    losses[:, 2] = np.nan
    affinities = transfer_affinities(losses)
    assert np.isnan(affinities[:, 2]).all()
    np.testing.assert_allclose(affinities[:, [0, 1, 3, 4]], expected)


@pytest.mark.parametrize(
    ("losses", "error", "match"),
    [
        ("text", InvalidTypeError, "losses="),
        ([[[1, 2]], [[1]]], InvalidTypeError, "losses="),
        (np.ones((2, 3)), InvalidValueError, "targets, sources, images"),
        (np.ones((2, 3, 0)), InvalidValueError, "not empty"),
        ([[[1.0, np.nan], [1.0, 2.0]]], InvalidValueError, "target 0, source 0"),
        (np.full((1, 2, 3), np.nan), InvalidValueError, "target 0 has none"),
    ],
)
def test_what_it_refuses(losses, error, match):
    with pytest.raises(error, match=match):
        transfer_affinities(losses)
