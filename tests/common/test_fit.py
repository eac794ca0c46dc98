"""fit: the host's own training, seen through a bar."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from relaxppl.common import fit
from tests.common.arviz import arviz_cases as cases
from tests.common.arviz.arviz_cases import both

STEPS = 60


def quadratic(host, noise):
    """A program whose gradient in ``a`` is 2 times a standard normal, whatever ``a``."""

    def model():
        pass

    def guide():
        a = host.param("a", host.array(0.0))
        e = host.sample("e", host.dist.Normal(host.array(0.0), 1.0))
        host.lib.factor("score", noise * a * e, **has_rsample(host))

    return model, guide


def has_rsample(host):
    return {} if host.name == "numpyro" else {"has_rsample": True}


def simple(host):
    """One relaxed bit for each datum, annealed over the steps."""

    def model(y):
        with host.plate("data", 5):
            z = host.sample("z", host.dist.Bernoulli(host.array(0.3)))
            host.sample("y", host.dist.Normal(2.0 * z, 1.0), obs=y)

    def guide(y):
        logits = host.param("logits", host.array(np.zeros(5)))
        with host.plate("data", 5):
            host.sample("z", host.dist.Bernoulli(logits=logits))

    schedule = host.rx.LinearSchedule(1.0, 0.5, STEPS)
    model, guide = (host.rx.relax(f, temperature=schedule) for f in (model, guide))
    svi = host.svi(model, guide)
    svi.optim = host.rx.count_steps(svi.optim)
    return svi


@both
def test_the_same_fit_with_and_without_a_bar(name, capsys):
    host = cases.host_of(name)
    results = []
    for shown in (False, True):
        if name == "pyro":
            host.lib.clear_param_store()
        results.append(host.fit(simple(host), STEPS, host.array(cases.Y), progress=shown))
        if not shown:
            assert capsys.readouterr().err == ""
    quiet, seen = results
    np.testing.assert_allclose(np.asarray(quiet.losses), np.asarray(seen.losses), rtol=1e-12)
    np.testing.assert_allclose(quiet.params["logits"], seen.params["logits"], rtol=1e-12)
    assert quiet.losses.shape == (STEPS,)
    assert np.all(np.asarray(quiet.params["logits"]) != 0)
    last = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    assert f"{STEPS}/{STEPS}" in last
    assert re.search(r"bound -\d", last)
    assert re.search(r"gradient variance \d", last)
    # The temperature at the end of the schedule.
    assert "temperature 0.5" in last


def test_the_host_trains_to_the_same_numpyro():
    host = cases.host_of("numpyro")
    svi = simple(host)
    ours = host.fit(svi, STEPS, cases.Y)
    theirs = svi.run(host.key(0), STEPS, cases.Y, progress_bar=False)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-5)
    np.testing.assert_allclose(ours.params["logits"], theirs.params["logits"], rtol=1e-5)
    more = host.fit(svi, 3, cases.Y, init_state=ours.state, progress=True)
    assert more.losses.shape == (3,)
    assert more.params["relaxppl_step"] == STEPS + 3


@both
def test_variance_of_the_gradient(name, monkeypatch):
    host = cases.host_of(name)
    if name == "pyro":
        host.lib.clear_param_store()
    shown = []
    monkeypatch.setattr(fit.Bar, "show", recording(shown, fit.Bar.show))
    host.fit(host.svi(*quadratic(host, 3.0)), 600, progress=True)
    steps = np.array([s for s, *_ in shown[1:]])
    variances = np.array([v for _, _, v, _ in shown[1:]])
    assert steps.sum() + shown[0][0] == 600
    mean = (steps * variances).sum() / steps.sum()
    # Half the squared difference of two gradients 3e has mean 9, and over 600 steps error 0.65.
    assert mean == pytest.approx(9.0, abs=2.6)


def recording(shown, show):
    def record(self, *args):
        shown.append(args)
        show(self, *args)

    return record


def test_no_bar_where_nobody_looks(monkeypatch):
    assert fit.bar_class(False) is None
    assert fit.bar_class(None) is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert fit.bar_class(None).__name__ == "tqdm"
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert fit.bar_class(None) is None
    with pytest.raises(ImportError, match=r'pip install "relaxppl\[progress\]"'):
        fit.bar_class(True)


def test_chunks_follow_the_clock(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(fit.time, "perf_counter", lambda: clock[0])
    bar = fit.Bar(lambda **_: None, 1000)
    clock[0] = 2.0  # a compilation
    assert bar.next_chunk(1) == 1
    clock[0] = 0.001
    assert bar.next_chunk(1) == 10
    clock[0] = 0.1
    assert bar.next_chunk(100) == 200
    bar.done = 990
    assert bar.next_chunk(100) == 10


@both
@pytest.mark.parametrize(
    ("steps", "shown", "error", "match"),
    [
        (0, None, ValueError, "num_steps must be at least 1, got 0"),
        (2.5, None, TypeError, "num_steps must be a whole number"),
        (3, "yes", TypeError, "progress must be True, False or None"),
    ],
)
def test_refusals(name, steps, shown, error, match):
    host = cases.host_of(name)
    with pytest.raises(error, match=match):
        host.fit(simple(host), steps, host.array(cases.Y), progress=shown)
