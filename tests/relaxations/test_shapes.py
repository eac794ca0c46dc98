"""Batch and event shapes, dtypes and independence, by the hosts' rules."""

from __future__ import annotations

import numpy as np
import pytest

from tests.adapter import Host, called, is_static
from tests.relaxations.case import Case, element, reference_log_prob, reference_samples
from tests.relaxations.cases import CASES, both, first_of_each, name_of

FIRST = first_of_each(CASES)
ONE_ROW = [case for case in FIRST if "temperature" in case.params]


def plain(value):
    """A Python number or nested list, or the static value itself."""
    return value if is_static(value) else np.asarray(value).tolist()


def first_element(case: Case) -> dict:
    return element(case, case.params, (0,) * len(case.batch_shape))


def has_shapes(dist, batch: tuple[int, ...], case: Case) -> None:
    assert tuple(dist.batch_shape) == batch
    assert tuple(dist.event_shape) == case.event_shape


def expect_samples(
    host: Host, dist, batch: tuple[int, ...], case: Case, draws: int = 4
) -> np.ndarray:
    """Samples, their log_prob and the distribution say the same shapes, and lie in the support."""
    has_shapes(dist, batch, case)
    value, inside, log_prob = host.draw_and_score(dist, 0, (draws,), case.density)
    assert value.shape == (draws, *batch, *case.event_shape)
    assert inside.all()
    if log_prob is not None:
        assert log_prob.shape == (draws, *batch)
    return value


def expect_shapes(host: Host, dist, batch: tuple[int, ...], case: Case, sample_shape=()):
    """The same shapes, without regard to values: NumPyro needs to compile nothing for them."""
    has_shapes(dist, batch, case)

    def draw(d):
        value = host.draw(d, 0, sample_shape)
        return value, d.log_prob(value) if case.density else None

    value, log_prob = host.results(draw, dist)
    assert value.shape == (*sample_shape, *batch, *case.event_shape)
    if log_prob is not None:
        assert log_prob.shape == (*sample_shape, *batch)


@pytest.mark.compiles_each
@pytest.mark.parametrize(("host", "case"), both(CASES), ids=name_of)
def test_sample_shapes(host: Host, case: Case):
    dist = host.make(case.name, case.params)
    expect_samples(host, dist, case.batch_shape, case)
    expect_shapes(host, dist, case.batch_shape, case)
    expect_shapes(host, dist, case.batch_shape, case, (2, 3))


@pytest.mark.parametrize(("host", "case"), both(FIRST), ids=name_of)
def test_python_numbers_are_accepted(host: Host, case: Case):
    params = {n: plain(v) for n, v in first_element(case).items()}
    if host.name == "numpyro":
        # JAX's arrays are not made of lists; scalars stay Python numbers.
        params = {n: np.asarray(v) if isinstance(v, list) else v for n, v in params.items()}
    dist = (
        getattr(host.rx, case.name)(**params)
        if _takes_lists(host, case)
        else host.make(case.name, params)
    )
    expect_shapes(host, dist, (), case, (4,))


def _takes_lists(host: Host, case: Case) -> bool:
    return getattr(host.rx, case.name).__module__.startswith("relaxppl")


@pytest.mark.compiles_each
@pytest.mark.parametrize(("host", "case"), both(FIRST), ids=name_of)
def test_scalar_and_batched_distributions_expand(host: Host, case: Case):
    # What it draws: test_elements_of_a_batch_are_independent.
    expect_shapes(host, host.make(case.name, first_element(case)).expand((3, 2)), (3, 2), case)
    batched = host.make(case.name, case.params).expand((5, *case.batch_shape))
    expect_shapes(host, batched, (5, *case.batch_shape), case, (4,))
    expect_shapes(host, batched.expand((2, 5, *case.batch_shape)), (2, 5, *case.batch_shape), case)
    if case.density:
        values = reference_samples(case, 1, 5)
        expected = reference_log_prob(case, values)
        np.testing.assert_allclose(host.log_prob(batched, values), expected, rtol=1e-8)


@pytest.mark.parametrize(("host", "case"), both(FIRST), ids=name_of)
def test_a_batch_may_be_empty(host: Host, case: Case):
    if host.name == "pyro" and case.name == "OneHotCategorical":
        return  # Pyro's own, which refuses it.
    empty = {
        n: v if is_static(v) else np.broadcast_to(v, (0, *np.shape(v)))
        for n, v in first_element(case).items()
    }
    expect_shapes(host, host.make(case.name, empty), (0,), case, (2,))
    expect_shapes(host, host.make(case.name, first_element(case)).expand((0,)), (0,), case, (2,))


@pytest.mark.parametrize(("host", "case"), both(ONE_ROW), ids=name_of)
def test_a_column_of_temperatures_broadcasts(host: Host, case: Case):
    params = {**case.params, "temperature": np.array([[0.4], [0.9], [1.7], [2.5]])}
    dist = host.make(case.name, params)
    batch = (4, *case.batch_shape)
    expect_shapes(host, dist, batch, case, (4,))
    if case.density:
        values = np.broadcast_to(reference_samples(case, 3, 1)[0], (1, *batch, *case.event_shape))
        expected = reference_log_prob(case, values, params)
        np.testing.assert_allclose(host.log_prob(dist, values), expected, rtol=1e-8)


@pytest.mark.compiles_each
@pytest.mark.parametrize(("host", "case"), both(FIRST), ids=name_of)
def test_elements_of_a_batch_are_independent(host: Host, case: Case):
    dist = host.make(case.name, first_element(case)).expand((3, 2))
    draws = host.samples(dist, 0, (20_000,))
    assert draws.shape == (20_000, 3, 2, *case.event_shape)
    first = draws.reshape(20_000, 6, -1)[:, :, 0]
    correlation = np.corrcoef(np.concatenate([first[:-1], first[1:]], 1).T)
    # Twelve columns: six elements and the same six one draw later; none may know another.
    off_diagonal = correlation[~np.eye(12, dtype=bool)]
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("host", "case"), both(FIRST), ids=name_of)
def test_dtype_is_kept(host: Host, case: Case, dtype: str):
    dist = host.make(case.name, case.params, dtype)
    moments = sorted(case.gives & {"mean", "variance", "entropy"})

    def everything(d):
        value = host.draw(d, 0, (4,))
        scores = [d.log_prob(value)] if case.density else []
        return [value, *scores, *(called(d, what) for what in moments)]

    for found in host.results(everything, dist)[int(case.whole) :]:
        assert str(found.dtype).removeprefix("torch.") == dtype


HARDENING = [c for c in FIRST if c.name != "OneHotCategorical" and not c.whole]


@pytest.mark.compiles_each
@pytest.mark.parametrize(("host", "case"), both(HARDENING), ids=name_of)
def test_harden_gives_a_discrete_value_of_the_same_shape(host: Host, case: Case):
    dist = host.make(case.name, case.params)
    value = host.draw(dist, 0, (200,))
    hard = host.call(dist, "harden", value)
    value = host.numpy(value)
    assert hard.shape == value.shape
    # The values of a discrete law, straight-through or not, are hard already.
    if case.surrogate is not None or not case.reparameterized:
        np.testing.assert_array_equal(hard, value)
    elif case.event_shape == () or case.name == "CorrelatedRelaxedBernoulli":
        assert set(np.unique(hard)) <= {0.0, 1.0}
    else:
        assert set(np.unique(hard)) == {0.0, 1.0}
        np.testing.assert_array_equal(hard.sum(-1), 1.0)
        # The rows of a matching do not choose alone.
        if case.name != "GumbelSinkhorn":
            np.testing.assert_array_equal(hard.argmax(-1), value.argmax(-1))
