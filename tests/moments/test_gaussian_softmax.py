"""The nested quadratures of a softmax of Gaussians, where one integral or none is left."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from relaxppl.relaxations.gaussian_softmax import argmax_probs, softmax_moments
from tests.adapter import HOSTS, Host

SCALES = [
    (1e-6, 1e-6),
    (1e-2, 0.0),
    (0.5, 0.99),
    (1.0, 1.0),
    (10.0, 0.3),
    (1e2, 0.0),
    (1e4, 1e-3),
    (1e5, 1e5),
]
LOCS = [(0.0, 0.0), (2.0, -1.0), (-30.0, 20.0)]


def tensor(value) -> torch.Tensor:
    return torch.tensor(np.asarray(value, float))


def of_the_difference(fn, loc, scale) -> float:
    """E fn(y_1 - y_2) by adaptive quadrature."""
    mean, width = loc[0] - loc[1], np.hypot(*scale)
    bends = (np.array([-40.0, -5.0, 0.0, 5.0, 40.0]) - mean) / width
    ends = np.unique(np.clip([-12.0, *bends, 12.0], -12, 12))
    parts = [
        integrate.quad(lambda e: fn(mean + width * e) * stats.norm.pdf(e), a, b, epsabs=1e-13)[0]
        for a, b in pairwise(ends)
    ]
    return sum(parts)


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_two_coordinates_leave_one_integral(scale):
    for loc in LOCS:
        first, second, mean_logsumexp = softmax_moments(tensor(loc), tensor(scale))
        expected = of_the_difference(special.expit, loc, scale)
        assert first.tolist() == pytest.approx([expected, 1 - expected], abs=1e-9)
        square = of_the_difference(lambda d: special.expit(d) ** 2, loc, scale)
        assert second[0].item() == pytest.approx(square, abs=1e-9)
        expected = loc[1] + of_the_difference(lambda d: np.logaddexp(0, d), loc, scale)
        assert mean_logsumexp.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_largest_of_two_is_that_of_their_difference():
    for scale in SCALES:
        for loc in LOCS:
            chance = stats.norm.cdf((loc[0] - loc[1]) / np.hypot(*scale))
            if scale[1] > 0:
                found = argmax_probs(tensor(loc), tensor(scale))
            else:
                found = argmax_probs(tensor(loc[:1]), tensor(scale[:1]), tensor(loc[1:]))
            assert found.tolist() == pytest.approx([chance, 1 - chance], abs=1e-9)


def test_scales_far_apart_share_the_whole_chance():
    # The grid is dense in one place only: wherever a narrow coordinate lies beside a wide one, and
    # another narrow one beside it, none may be missed.
    wide, at = (x.ravel() for x in np.meshgrid([10.0, 1e4], np.linspace(-8, 8, 33)))
    zero = 0.0 * wide
    for narrow in (1e-3, 2.0):
        loc = tensor(np.stack([at * wide, zero, zero - 2.0], -1))
        scale = tensor(np.stack([wide, zero + narrow, zero + 0.1], -1))
        first, second, _ = softmax_moments(loc, scale)
        torch.testing.assert_close(first.sum(-1), torch.ones_like(first[:, 0]), rtol=0, atol=1e-8)
        assert (second <= first + 1e-8).all()
        assert (second >= first**2 - 1e-8).all()
        largest = argmax_probs(loc, scale).sum(-1)
        torch.testing.assert_close(largest, torch.ones_like(largest), rtol=0, atol=1e-8)


def test_gradients_are_the_differences():
    loc, scale = tensor([0.3, -0.2, 1.0]).requires_grad_(), tensor([0.5, 1e-2, 3.0])
    constant = tensor([0.31]).requires_grad_()
    scale.requires_grad_()
    assert torch.autograd.gradcheck(argmax_probs, (loc, scale, constant), atol=1e-6)
    assert torch.autograd.gradcheck(softmax_moments, (loc, scale), atol=1e-6)


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("column", ["temperature", "delta"])
def test_probs_of_a_column_of_thresholds(host: Host, column: str):
    given = {"temperature": 0.7, "delta": 2.0, "loc": np.array([[0.3, -0.5], [1.0, 0.0]])}
    given["scale"] = np.ones(2)
    values = np.array([[0.5], [1.5], [3.0]])
    found = host.call(host.make("InvertibleGaussian", {**given, column: values}), "probs")
    assert found.shape == (3, 2, 3)
    one = host.make("InvertibleGaussian", {**given, column: 1.5})
    np.testing.assert_allclose(found[1], host.call(one, "probs"), rtol=1e-12)


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_two_classes_are_a_logit_normal(host: Host):
    params = {"loc": np.array([0.3, -0.2]), "scale": np.array([0.5, 0.7])}
    dist = host.make("LogisticNormalSoftmax", params)
    x = np.array([0.1, 0.5, 0.8])
    logit = stats.norm(0.5, np.hypot(0.5, 0.7)).logpdf(np.log(x) - np.log1p(-x))
    ours = host.log_prob(dist, np.stack([x, 1 - x], axis=-1))
    np.testing.assert_allclose(ours, logit - np.log(x) - np.log1p(-x), rtol=1e-9)
