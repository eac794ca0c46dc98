"""Batch shapes, beyond what ``tests/relaxations`` asks: widened, laid out anew, emptied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.adapter import Host, is_static
from tests.hosts.conformance.rows import EVERY, ROWS, over, value
from tests.relaxations.case import Case, Params, reference_log_prob, reference_samples


def shapes(
    host: Host, case: Case, dist: Any, sample_shape: tuple[int, ...] = ()
) -> tuple[Any, ...]:
    """Of a sample and of its log_prob, without running them where the host need not."""

    def draw(d):
        x = host.draw(d, 0, sample_shape)
        return x, d.log_prob(x) if case.density else x

    return tuple(tuple(x.shape) for x in host.results(draw, dist))


def expect(host: Host, case: Case, dist: Any, batch: tuple[int, ...]) -> None:
    assert tuple(dist.batch_shape) == batch
    assert tuple(dist.event_shape) == case.event_shape
    assert dist.event_dim == len(case.event_shape)
    assert tuple(dist.shape((2,))) == (2, *batch, *case.event_shape)
    drawn, scored = shapes(host, case, dist, (2,))
    assert drawn == (2, *batch, *case.event_shape)
    if case.density:
        assert scored == (2, *batch)


def reshaped(case: Case, batch: tuple[int, ...]) -> Params:
    """The parameters with the batch laid out anew."""

    def one(name, given):
        given = np.asarray(given)
        event = given.shape[given.ndim - case.ranks.get(name, 0) :]
        return np.broadcast_to(given, (*case.batch_shape, *event)).reshape(*batch, *event)

    return {n: v if is_static(v) else one(n, v) for n, v in case.params.items()}


@over(ROWS)
def test_dimensions_of_one_are_widened_and_no_others(host: Host, case: Case):
    n = case.batch_shape[0]
    column = host.make(case.name, reshaped(case, (n, 1)), validate=False)
    wide = column.expand((4, n, 3))
    expect(host, case, column, (n, 1))
    expect(host, case, wide, (4, n, 3))
    expect(host, case, wide.expand((2, 4, n, 3)), (2, 4, n, 3))
    expect(host, case, column.expand((n, 3)).expand((5, n, 3)), (5, n, 3))
    expect(host, case, column.expand_by((5, 2)), (5, 2, n, 1))
    for wrong in ((n + 1, 1), (n,), (n + 1, 3)):
        with pytest.raises((ValueError, RuntimeError)):
            host.results(lambda d, to=wrong: host.draw(d.expand(to), 0), column)


@over(ROWS)
def test_widened_batches_may_be_empty(host: Host, case: Case):
    n = case.batch_shape[0]
    column = host.make(case.name, reshaped(case, (n, 1)), validate=False)
    expect(host, case, column.expand((n, 0)), (n, 0))
    expect(host, case, column.expand((n, 3)).expand((0, n, 3)), (0, n, 3))
    assert tuple(column.expand((0, n, 1)).to_event(2).event_shape) == (n, 1, *case.event_shape)


@over(ROWS)
def test_events_of_several_dimensions(host: Host, case: Case):
    n = case.batch_shape[0]
    dist = host.make(case.name, reshaped(case, (n, 1)), validate=False).expand((4, n, 3))
    for count in (1, 2, 3):
        event = dist.to_event(count)
        batch = (4, n, 3)[: 3 - count]
        assert tuple(event.batch_shape) == batch
        assert tuple(event.event_shape) == (4, n, 3)[3 - count :] + case.event_shape
        assert event.support.event_dim == count + len(case.event_shape)
        assert event.has_rsample == dist.has_rsample
        drawn, scored = shapes(host, case, event, (2,))
        assert drawn == (2, 4, n, 3, *case.event_shape)
        assert scored == (2, *batch) or not case.density
        again = event.expand((5, *batch))
        assert tuple(again.batch_shape) == (5, *batch)
        assert tuple(again.event_shape) == tuple(event.event_shape)
    with pytest.raises((ValueError, RuntimeError)):
        dist.to_event(4)


@over([case for case in ROWS if case.density])
def test_a_batch_laid_out_anew_scores_the_same(host: Host, case: Case):
    n = case.batch_shape[0]
    points = reference_samples(case, 3, 2)
    full = reference_log_prob(case, points)
    column = host.make(case.name, reshaped(case, (n, 1)), validate=False)

    def score(dist, x):
        return dist.expand((n, 3)).expand((2, n, 3)).log_prob(x[:, :, None])

    found = host.compiled(score)(column, value(host, case, points))
    wanted = np.broadcast_to(full[:, :, None], (2, n, 3))
    np.testing.assert_allclose(host.numpy(found), wanted, rtol=1e-8)


@over(EVERY)
def test_the_class_says_what_the_shapes_will_be(host: Host, case: Case):
    given = {n: np.shape(v) for n, v in case.params.items() if not is_static(v)}
    found = getattr(host.rx, case.name).infer_shapes(**given, **case.static)
    assert tuple(map(tuple, found)) == (case.batch_shape, case.event_shape)
