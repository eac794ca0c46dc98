"""AutoDiscrete: laws, shapes, subsamples, amortised logits, quantiles and every refusal."""

from __future__ import annotations

import importlib
import pickle
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import pytest
import torch
from scipy import special, stats

import relaxppl.pyro
from relaxppl.common import auto
from tests.adapter import both
from tests.common.relax.programs import law

ROWS, BATCH = 6, 4


def everything(host: Any) -> Any:
    """A model with every kind of discrete site, a subsampled plate and two continuous sites."""

    def model(y: Any) -> None:
        dist, array = host.dist, host.array
        scale = host.sample("scale", dist.HalfNormal(array(2.0)))
        bits = host.sample("bits", dist.Bernoulli(array([0.3, 0.6])).to_event(1))
        count = host.sample("count", dist.Geometric(array(0.3)))
        with host.plate("rows", ROWS, subsample_size=BATCH) as index:
            one_hot = host.sample("one_hot", host.rx.OneHotCategorical(probs=array([0.2, 0.8])))
            klass = host.sample("klass", dist.Categorical(array([0.5, 0.2, 0.3])))
            few = host.sample("few", dist.Geometric(array(0.4)))
            loc = host.sample("loc", dist.Normal(array(0.0), 1.0))
            mean = loc + one_hot[..., 0] + array([0.0, 1.0, 2.0])[klass] + few + bits.sum(-1)
            host.sample("y", dist.Normal(mean + 0.1 * count, 1.0 + scale), obs=y[index])

    return model


def run(host: Any, guide: Any, *args: Any, seed: int = 0) -> dict[str, Any]:
    if host.name == "pyro":
        torch.manual_seed(seed)
        return pyro.poutine.trace(guide).get_trace(*args).nodes
    return host.trace(guide, *args, seed=seed)


def logits_of(host: Any, guide: Any, trace: dict[str, Any], name: str) -> np.ndarray:
    """The guide's parameter, over the full plates."""
    if host.name == "numpyro":
        return host.numpy(trace[f"{name}_auto_logits"]["value"])
    return host.numpy(getattr(guide.logits, name))


def params_of(host: Any, trace: dict[str, Any]) -> tuple[Any, ...]:
    if host.name == "pyro":
        return ()
    return ({n: s["value"] for n, s in trace.items() if s["type"] == "param"},)


@both
def test_laws_shapes_and_subsample(host: Any) -> None:
    pyro.clear_param_store()
    y = host.array(np.linspace(-1, 4, ROWS))
    guide = host.rx.AutoDiscrete(everything(host), sizes={"count": 12, "few": 4})
    trace = run(host, guide, y)
    assert guide.sizes == {"count": 12, "few": 4}
    expected = {
        "bits": ("Bernoulli", (2,), (2,)),
        "count": ("FiniteCount", (), (12,)),
        "one_hot": ("OneHotCategorical", (BATCH, 2), (ROWS, 2)),
        "klass": ("Categorical", (BATCH,), (ROWS, 3)),
        "few": ("FiniteCount", (BATCH,), (ROWS, 4)),
    }
    for name, (class_name, shape, full) in expected.items():
        assert law(trace[name]).replace("Logits", "") == class_name
        assert tuple(trace[name]["value"].shape) == shape
        assert not trace[name]["fn"].has_rsample
        assert logits_of(host, guide, trace, name).shape == full
        assert len(trace[name]["cond_indep_stack"]) == (len(shape) > 0 and shape[0] == BATCH)
    index = host.numpy(trace["rows"]["value"])
    rows = logits_of(host, guide, trace, "one_hot")[index]
    base = trace["one_hot"]["fn"].logits
    np.testing.assert_allclose(
        host.numpy(base) - host.numpy(base)[:, :1], rows - rows[:, :1], atol=1e-12
    )
    # The continuous part sees the same subsample.
    assert tuple(trace["loc"]["value"].shape) == (BATCH,)
    names = {"scale", "bits", "count", "one_hot", "klass", "few", "loc"}
    if host.name == "numpyro":
        # The host's own methods for its part take long to compile; the guide's page runs them.
        guide._part = None
        names -= {"scale", "loc"}
    draw = (jax.random.key(0), *params_of(host, trace)) if host.name == "numpyro" else (y,)
    draws = host.compiled(partial(guide.sample_posterior, sample_shape=(5,)))(*draw)
    shapes = {n: tuple(x.shape) for n, x in draws.items()}
    expected_shapes = {
        "scale": (5,), "bits": (5, 2), "count": (5,), "one_hot": (5, ROWS, 2),
        "klass": (5, ROWS), "few": (5, ROWS), "loc": (5, ROWS),
    }  # fmt: skip
    assert shapes == {n: expected_shapes[n] for n in names}
    median = guide.median(*params_of(host, trace))
    assert {n: tuple(x.shape) for n, x in median.items()} == {n: shapes[n][1:] for n in names}
    quantiles = guide.quantiles(*params_of(host, trace), [0.1, 0.9])
    assert set(quantiles) == names - {"one_hot", "klass"}
    assert tuple(quantiles["few"].shape) == (2, ROWS)
    if host.name == "numpyro":
        again = pickle.loads(pickle.dumps(guide._sites))
        assert again.keys() == guide._sites.keys()


@both
def test_a_count_starts_near_its_prior(host: Any) -> None:
    pyro.clear_param_store()
    law = lambda: host.sample("k", host.dist.Geometric(host.array(0.4)))  # noqa: E731
    guide = host.rx.AutoDiscrete(law, init_scale=0.0)
    trace = run(host, guide)
    size = guide.sizes["k"]
    # SciPy counts trials, not failures.
    assert stats.geom.sf(size, 0.4) <= 1e-6 < stats.geom.sf(size - 1, 0.4)
    probs = host.numpy(guide.probs(*params_of(host, trace))["k"])
    np.testing.assert_allclose(probs, stats.geom.pmf(np.arange(size) + 1, 0.4), atol=3e-4)


@both
def test_what_cannot_be_is_never_drawn(host: Any) -> None:
    sites = importlib.import_module(f"relaxppl.{host.name}.sites").SITES
    total = np.array([1, 3]) if host.name == "numpyro" else host.array([1.0, 3.0])
    law = host.dist.Binomial(total, host.array(0.5))
    assert sites.kind_of(law) == "count"
    assert sites.count_size(law, 1e-6) == 4
    log_p = host.numpy(sites.count_log_probs(law, 4))
    with np.errstate(divide="ignore"):
        expected = stats.binom.logpmf(np.arange(4), [[1], [3]], 0.5)
    np.testing.assert_allclose(log_p, expected, rtol=1e-6)
    first = auto.start((2, 4), 0.0, 0, log_p)
    assert np.all(special.softmax(first, axis=-1)[0, 2:] == 0)


def test_quantiles_against_scipy() -> None:
    levels = np.array([0.0, 0.05, 0.3, 0.5, 0.9, 1.0])
    pmf = stats.binom.pmf(np.arange(8), 7, [[0.2], [0.7]])
    expected = np.maximum(stats.binom.ppf(levels[:, None], 7, [0.2, 0.7]), 0)
    np.testing.assert_array_equal(auto.count_quantiles(pmf, levels), expected)
    probs = np.array([0.2, 0.5, 0.96])
    expected = np.maximum(stats.bernoulli.ppf(levels[:, None], probs), 0)
    np.testing.assert_array_equal(auto.binary_quantiles(probs, levels), expected)


@both
def test_amortised_logits(host: Any) -> None:
    def model(x: Any) -> None:
        with host.plate("rows", len(x)):
            z = host.sample("z", host.dist.Bernoulli(host.array(0.5)))
            host.sample("x", host.dist.Normal(1.0 * z, 1.0), obs=x)

    def network(x: Any) -> Any:
        slope = host.lib.param("slope", host.array(3.0))
        return {"z": slope * x}

    pyro.clear_param_store()
    x = host.array([0.5, -1.0, 2.0])
    guide = host.rx.AutoDiscrete(model, amortize=network)
    trace = run(host, guide, x)
    expected = 1 / (1 + np.exp(-3.0 * np.array([0.5, -1.0, 2.0])))
    np.testing.assert_allclose(host.numpy(trace["z"]["fn"].probs), expected, rtol=1e-6)
    params = params_of(host, trace)
    np.testing.assert_allclose(host.numpy(guide.probs(*params, x)["z"]), expected, rtol=1e-6)
    np.testing.assert_array_equal(host.numpy(guide.median(*params, x)["z"]), [1, 0, 1])
    wrong = host.rx.AutoDiscrete(model, amortize=lambda x: {"z": x[:2]})
    with pytest.raises(ValueError, match=r"shape \(2,\) for the site 'z', which needs \(3,\)"):
        run(host, wrong, x)
    other = host.rx.AutoDiscrete(model, amortize=lambda x: {"w": x})
    with pytest.raises(ValueError, match="amortize names 'w'"):
        run(host, other, x)


@both
def test_under_relax(host: Any) -> None:
    def model() -> None:
        b = host.sample("b", host.dist.Bernoulli(host.array(0.3)))
        k = host.sample("k", host.dist.Geometric(host.array(0.4)))
        host.sample("x", host.dist.Normal(b + k, 1.0), obs=host.array(1.5))

    pyro.clear_param_store()
    guide = host.rx.AutoDiscrete(model)
    run(host, guide)
    relaxed = [host.rx.relax(fn, temperature=0.5) for fn in (model, guide)]
    sites = [run(host, fn) for fn in relaxed]
    for site in sites:
        assert 0 < float(host.numpy(site["b"]["value"])) < 1
    assert sites[0]["k"]["value"].shape == sites[1]["k"]["value"].shape == (guide.sizes["k"],)
    if host.name == "numpyro":
        params = params_of(host, run(host, guide))[0]
        loss = numpyro.infer.Trace_ELBO().loss(jax.random.key(0), params, *relaxed)
    else:
        loss = pyro.infer.Trace_ELBO().loss(*relaxed)
    assert np.isfinite(float(loss))


@both
def test_with_every_elbo(host: Any) -> None:
    pyro.clear_param_store()

    def model() -> None:
        host.sample("mu", host.dist.Normal(host.array(0.0), 1.0))
        with host.plate("rows", 2):
            b = host.sample("b", host.dist.Bernoulli(host.array(0.3)))
            host.sample("x", host.dist.Normal(2.0 * b, 1.0), obs=host.array([1.5, 0.0]))

    guide = host.rx.AutoDiscrete(model)
    names = ["ScoreFunction_ELBO", "RLOO_ELBO", "DisARM_ELBO", "REBAR_ELBO", "RELAX_ELBO"]
    params = params_of(host, run(host, guide))
    for name in names:
        elbo = getattr(host.rx, name)()
        prepared = elbo.prepare(guide)
        if host.name == "numpyro":
            svi = numpyro.infer.SVI(model, prepared, numpyro.optim.Adam(0.1), elbo)
            # Shapes and types: numbers are another test's.
            jax.eval_shape(lambda key, svi=svi: svi.update(svi.init(key))[1], jax.random.key(0))
        else:
            svi = pyro.infer.SVI(model, prepared, pyro.optim.Adam({"lr": 0.1}), elbo)
            before = guide.logits.b.detach().clone()
            assert np.isfinite(svi.step())
            assert not torch.equal(before, guide.logits.b.detach())
    assert params is not None


def test_a_mirrored_count_has_the_type_of_the_one_drawn() -> None:
    pyro.clear_param_store()

    def model() -> None:
        count = pyro.sample("count", pyro.distributions.Poisson(2.0))
        # Of whole numbers torch takes no such product.
        rate = torch.nn.functional.linear(count[..., None], torch.ones(1, 1))[..., 0]
        pyro.sample("x", pyro.distributions.Normal(rate, 1.0), obs=torch.tensor(1.0))

    guide = relaxppl.pyro.AutoDiscrete(model)
    elbo = relaxppl.pyro.DisARM_ELBO()
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), elbo)
    assert np.isfinite(svi.step())


@both
def test_the_continuous_part(host: Any) -> None:
    def model() -> None:
        host.sample("mu", host.dist.Normal(host.array(0.0), 1.0))
        host.sample("b", host.dist.Bernoulli(host.array(0.3)))
        host.sample("e", host.dist.Bernoulli(host.array(0.3)), infer={"enumerate": "parallel"})

    def seeded() -> Any:
        return model if host.name == "pyro" else numpyro.handlers.seed(model, 0)

    pyro.clear_param_store()
    autoguides = host.lib.infer.autoguide
    block = host.handlers.block(seeded(), hide=["b", "e"])
    for continuous in (autoguides.AutoDelta, autoguides.AutoDelta(block)):
        guide = host.rx.AutoDiscrete(model, continuous=continuous)
        trace = run(host, guide)
        assert law(trace["mu"]) == "Delta"
        assert "b" in trace
        assert "e" not in trace
    without = host.handlers.block(seeded(), hide=["mu", "b", "e"])
    guide = host.rx.AutoDiscrete(model, continuous=autoguides.AutoDelta(without))
    with pytest.raises(ValueError, match="the continuous guide has no 'mu'"):
        run(host, guide)


@both
def test_nothing_but_what_is_summed_out_is_discrete(host: Any) -> None:
    def model() -> None:
        mu = host.sample("mu", host.dist.Normal(host.array(0.0), 1.0))
        mark = {"enumerate": "parallel"}
        e = host.sample("e", host.dist.Bernoulli(host.array(0.3)), infer=mark)
        host.sample("y", host.dist.Normal(mu + e, 1.0), obs=host.array(0.5))

    pyro.clear_param_store()
    trace = run(host, host.rx.AutoDiscrete(model))
    assert "mu" in trace
    assert "e" not in trace


@both
def test_refusals(host: Any) -> None:
    pyro.clear_param_store()
    array, dist = host.array, host.dist

    def refuse(statement: Any, match: str, error: Any = ValueError, **options: Any) -> None:
        def model() -> None:
            statement()

        with pytest.raises(error, match=match):
            run(host, host.rx.AutoDiscrete(model, **options))

    refuse(lambda: host.sample("mu", dist.Normal(array(0.0), 1.0)), "sites are 'mu'.*AutoNormal")
    refuse(lambda: None, "has none at all")
    refuse(
        lambda: host.sample("b", host.rx.RelaxedBernoulli(0.5, probs=array(0.3))),
        r"'b' of the model is relaxed already.*relax\(AutoDiscrete",
    )
    refuse(
        lambda: host.sample("m", dist.Multinomial(3, array([0.5, 0.5]))),
        "'m' is a Multinomial.*AutoGuideList",
    )
    poisson = lambda: host.sample("k", dist.Poisson(array(3e8)))  # noqa: E731
    refuse(poisson, r"'k' is a Poisson.*sizes=\{'k': n\}")
    bernoulli = lambda: host.sample("b", dist.Bernoulli(array(0.3)))  # noqa: E731
    refuse(bernoulli, "sizes names 'q'.*are 'b'", sizes={"q": 3})

    guide = host.rx.AutoDiscrete(bernoulli)
    params = params_of(host, run(host, guide))
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.5"):
        guide.quantiles(*params, 1.5)


def test_numpyro_before_the_first_call_and_with_other_parameters() -> None:
    from relaxppl.numpyro import AutoDiscrete

    guide = AutoDiscrete(
        lambda: numpyro.sample("b", numpyro.distributions.Bernoulli(jnp.array(0.3)))
    )
    with pytest.raises(RuntimeError, match="has not run yet"):
        guide.median({})
    numpyro.handlers.seed(guide, 0)()
    with pytest.raises(ValueError, match=r"no 'b_auto_logits'.*It has: c"):
        guide.median({"c": jnp.zeros(())})


@both
def test_a_list_of_guides_with_an_automatic_part_and_one_by_hand(host: Any) -> None:
    y = host.array([0.0, 1.0, 1.0, 0.2])
    block = host.handlers.block

    def model() -> None:
        w = host.sample("w", host.dist.Normal(host.array(0.0), 1.0))
        k = host.sample("k", host.dist.Bernoulli(host.array(0.5)))
        with host.plate("data", 4):
            z = host.sample("z", host.dist.Bernoulli(host.array(0.4)))
            host.sample("y", host.dist.Normal(z * 1.5 + w * k, 0.7), obs=y)

    def by_hand() -> None:
        logit = host.lib.param("by_hand", host.array(0.7))
        host.sample("k", host.dist.Bernoulli(logits=logit))

    normal = host.lib.infer.autoguide.AutoNormal
    guide = host.rx.AutoGuideList(model)
    guide.append(normal(block(model, hide=["z", "k"])))
    guide.append(host.rx.AutoDiscrete(block(model, hide=["w", "k"])))
    guide.append(by_hand)
    elbo = host.rx.DisARM_ELBO()
    pyro.clear_param_store()
    if host.name == "numpyro":
        svi = host.lib.infer.SVI(model, guide, host.lib.optim.Adam(0.05), elbo)
        trained = svi.run(jax.random.key(0), 5, progress_bar=False).params
    else:
        svi = host.lib.infer.SVI(model, guide, host.lib.optim.Adam({"lr": 0.05}), elbo)
        assert np.isfinite([svi.step() for _ in range(5)]).all()
        trained = {n: x.detach() for n, x in pyro.get_param_store().items()}
    assert {"w", "k", "z"} <= run(host, guide).keys()
    assert host.numpy(trained["by_hand"]) != 0.7
    assert any("z" in name and "logits" in name for name in trained)
