"""What the hosts' shells add to a law: construction, errors, transformations, further members."""

from __future__ import annotations

import copy
import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import torch
from numpyro.contrib.control_flow import scan
from numpyro.distributions.batch_util import promote_batch_shape, vmap_over
from scipy import stats
from scipy.special import expit

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from tests.adapter import HOSTS

both_hosts = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
R = np.array([[1.0, 0.6, 0.2], [0.6, 1.0, -0.1], [0.2, -0.1, 1.0]])


@both_hosts
def test_python_numbers_and_integers_make_the_default_dtype(host):
    d = host.rx.HardConcrete(1, logits=0)
    assert (d.batch_shape, d.event_shape) == ((), ())
    assert "float" in str(d.dtype)
    assert host.numpy(d.log_prob(0)) == pytest.approx(np.log(expit(-np.log(11.0))))
    assert host.numpy(d.log_prob(1)) == pytest.approx(np.log(expit(-np.log(11.0))))
    assert host.numpy(d.expand((2, 3)).log_prob(0)).shape == (2, 3)


@both_hosts
def test_float32_stays_float32_and_a_mixture_is_promoted(host):
    single = host.array([0.1, 0.2], "float32")
    double = host.array(0.5, "float64")
    assert "float32" in str(host.draw(host.rx.RelaxedBernoulli(0.5, logits=single), 0).dtype)
    assert "float64" in str(host.draw(host.rx.RelaxedBernoulli(double, logits=single), 0).dtype)


@both_hosts
def test_temperature_broadcasts_against_the_batch_and_not_the_event(host):
    logits = np.random.default_rng(0).normal(size=(2, 4, 3))
    temperature = np.array([[0.4], [1.3]])
    d = host.make("RelaxedOneHotCategorical", {"temperature": temperature, "logits": logits})
    assert d.batch_shape == (2, 4)
    x = host.samples(d, 1, (5,))
    whole = host.log_prob(d, x)
    for i, j in np.ndindex(2, 4):
        one = host.make(
            "RelaxedOneHotCategorical", {"temperature": temperature[i, 0], "logits": logits[i, j]}
        )
        np.testing.assert_allclose(whole[:, i, j], host.log_prob(one, x[:, i, j]), rtol=1e-12)


@both_hosts
def test_shapes_that_do_not_fit_are_named(host):
    with pytest.raises(ValueError, match=r"RelaxedBernoulli.*temperature \(3,\), logits \(2,\)"):
        host.make("RelaxedBernoulli", {"temperature": np.ones(3), "logits": np.zeros(2)})
    with pytest.raises(ValueError, match=r"logits needs at least 1 dimension.*got shape \(\)"):
        host.make("RelaxedOneHotCategorical", {"temperature": 1.0, "logits": np.float64(0)})
    with pytest.raises(ValueError, match=r"logits \(2,\) and correlation_matrix \(3, 3\)"):
        host.make(
            "CorrelatedRelaxedBernoulli",
            {"temperature": 1.0, "logits": np.zeros(2), "correlation_matrix": R},
        )


@both_hosts
@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("RelaxedBernoulli", {"temperature": [1.0, -2.0], "logits": 0.0}, "temperature.*positive"),
        ("RelaxedBernoulli", {"temperature": 1.0, "probs": 1.5}, r"probs.*\[0, 1\]"),
        ("RelaxedBernoulli", {"temperature": 1.0, "logits": np.inf}, "logits.*finite"),
        ("HardConcrete", {"temperature": 1.0, "logits": 0.0, "low": 0.1}, "low.*negative"),
        ("HardConcrete", {"temperature": 1.0, "logits": 0.0, "high": 1.0}, "high.*than 1"),
    ],
)
def test_errors_say_what_the_parameter_must_be(host, name, params, message):
    params = {n: np.asarray(v, float) for n, v in params.items()}
    with pytest.raises(ValueError, match=f"{name}: {message}.*got"):
        host.make(name, params)


@both_hosts
@pytest.mark.parametrize(
    "bad",
    [
        {"correlation_matrix": [[1.0, 1.2], [1.2, 1.0]]},
        {"correlation_matrix": [[1.0, 0.2], [0.3, 1.0]]},
        {"correlation_matrix": [[[1.0, 0.2], [0.2, 1.0]], [[1.1, 0.2], [0.2, 1.0]]]},
        {"scale_tril": [[1.0, 0.0], [0.5, 1.0]]},
        {"scale_tril": [[1.0, 0.1], [0.6, 0.8]]},
        {"scale_tril": [[1.0, 0.0], [0.6, -0.8]]},
    ],
)
def test_what_is_no_correlation_matrix_is_refused(host, bad):
    params = {"temperature": np.array(1.0), "logits": np.zeros(2)}
    params |= {n: np.asarray(v) for n, v in bad.items()}
    with pytest.raises(ValueError, match=next(iter(bad))):
        host.make("CorrelatedRelaxedBernoulli", params)


@both_hosts
def test_either_form_of_the_correlation_gives_the_other(host):
    params = {"temperature": np.array(0.7), "probs": np.array([0.2, 0.5, 0.9])}
    a = host.make("CorrelatedRelaxedBernoulli", {**params, "correlation_matrix": R})
    b = host.make("CorrelatedRelaxedBernoulli", {**params, "scale_tril": np.linalg.cholesky(R)})
    np.testing.assert_allclose(host.numpy(a.scale_tril), np.linalg.cholesky(R), atol=1e-14)
    np.testing.assert_allclose(host.numpy(b.correlation_matrix), R, atol=1e-14)
    x = np.array([[0.1, 0.6, 0.9], [1e-6, 0.5, 0.3]])
    np.testing.assert_allclose(host.log_prob(a, x), host.log_prob(b, x), rtol=1e-12)


@both_hosts
def test_constructors_have_a_signature_and_take_positions(host):
    signature = inspect.signature(host.rx.HardConcrete)
    expected = ["temperature", "probs", "logits", "low", "high", "validate_args"]
    assert list(signature.parameters) == expected
    assert signature.parameters["high"].default == 1.1
    by_position = host.rx.HardConcrete(0.5, 0.3)
    assert host.numpy(by_position.probs) == pytest.approx(0.3)
    with pytest.raises(TypeError, match="temprature"):
        host.rx.RelaxedBernoulli(temprature=1.0, probs=0.5)


@both_hosts
def test_the_class_knows_its_support(host):
    assert host.rx.RelaxedOneHotCategorical.support.event_dim == 1
    assert host.rx.RelaxedBernoulli.support.event_dim == 0
    shapes = {"temperature": (2, 1), "logits": (3,)}
    assert host.rx.RelaxedBernoulli.infer_shapes(**shapes) == ((2, 3), ())


def test_discrete_and_reparameterized_supports_differ_on_numpyro():
    hard = rn.OneHotCategorical(logits=jnp.zeros(3))
    through = rn.RelaxedOneHotCategoricalStraightThrough(1.0, logits=jnp.zeros(3))
    assert hard.is_discrete
    assert not hard.has_rsample
    assert not through.is_discrete
    assert through.has_rsample
    with pytest.raises(NotImplementedError):
        hard.rsample(jax.random.key(0))


@both_hosts
def test_gates_give_their_further_members(host):
    loc, scale = np.array([-0.3, 0.4, 1.7]), np.array([0.5, 0.2, 1.0])
    d = host.make("GaussianRelaxedBernoulli", {"loc": loc, "scale": scale})
    np.testing.assert_allclose(host.numpy(d.expected_l0()), stats.norm.cdf(loc / scale))
    np.testing.assert_allclose(host.numpy(d.deterministic_gate()), [0.0, 0.4, 1.0])
    np.testing.assert_allclose(host.numpy(d.probs), stats.norm.cdf((loc - 0.5) / scale))
    a, t = np.array([-3.0, 0.2, 4.0]), np.array([[0.3], [0.9]])
    d = host.make("HardConcrete", {"temperature": t, "logits": a})
    np.testing.assert_allclose(host.numpy(d.expected_l0()), expit(a - t * np.log(0.1 / 1.1)))
    gate = np.clip(1.2 * expit(a) - 0.1, 0, 1)
    np.testing.assert_allclose(host.numpy(d.deterministic_gate()), np.broadcast_to(gate, (2, 3)))
    assert type(d).expected_l0.__doc__


@both_hosts
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("RelaxedBernoulli", {"temperature": 0.4, "logits": [-1.0, 0.3]}),
        ("RebarRelaxation", {"temperature": 2.0, "logits": [-1.0, 0.3]}),
        ("HardConcrete", {"temperature": 0.6, "probs": [0.2, 0.6], "low": -0.3}),
        ("GaussianRelaxedBernoulli", {"loc": [0.2, 0.8], "scale": 0.5}),
        ("RelaxedOneHotCategorical", {"temperature": 0.6, "probs": [[0.2, 0.5, 0.3]]}),
        ("LogisticNormalSoftmax", {"loc": [0.1, -0.2, 0.7], "scale": [[0.5, 2.0, 1e-3]]}),
        (
            "InvertibleGaussian",
            {"temperature": 0.6, "loc": [[0.3, -0.5]], "scale": [2.0, 0.4], "delta": 1.3},
        ),
    ],
)
def test_a_hardened_sample_has_the_discrete_law(host, name, params):
    d = host.make(name, {n: np.asarray(v, float) for n, v in params.items()})
    assert d.law.hard_law == ("OneHotCategorical" if len(d.event_shape) else "Bernoulli")
    n = 20_000
    hard = host.call(d, "harden", host.draw(d, 5, (n,)))
    assert set(np.unique(hard)) == {0.0, 1.0}
    p = host.call(d, "probs")
    error = (hard.mean(0) - p) / np.sqrt(p * (1 - p) / n)
    assert np.abs(error).max() < 4


@both_hosts
@pytest.mark.parametrize(
    ("name", "params"),
    [
        # P(x > middle) is not probs: the middle is beyond 1, and clipped.
        ("HardConcrete", {"temperature": 0.6, "probs": 0.2, "high": 2.5}),
        ("LogisticNormalSoftmax", {"loc": [0.1, 0.2], "scale_tril": [[1.0, 0.0], [0.5, 1.0]]}),
        ("CorrelatedRelaxedBernoulli", {"temperature": 0.6, "probs": [0.2], "scale_tril": [[1.0]]}),
        ("StochasticTimesSmooth", {"probs": 0.25}),
    ],
)
def test_a_hardened_sample_has_another_law_than_that_of_probs(host, name, params):
    d = host.make(name, {n: np.asarray(v, float) for n, v in params.items()})
    assert d.law.hard_law is None


@both_hosts
def test_the_hard_law_of_decoupled_temperatures_is_that_of_probs_unless_they_are_scaled(host):
    params = {"temperature_forward": 2.0, "temperature_backward": 0.5, "logits": [0.3, 1.0]}
    params = {n: np.asarray(v) for n, v in params.items()}
    for scaled, law in ((False, "OneHotCategorical"), (True, None)):
        params["scale_logits"] = scaled
        d = host.make("DecoupledStraightThroughGumbelSoftmax", params)
        assert d.law.hard_law == law


@both_hosts
def test_the_two_atoms_of_stochastic_times_smooth_are_enumerated(host):
    p = np.array([0.25, 0.64])
    d = host.make("StochasticTimesSmooth", {"probs": p})
    values = d.enumerate_support()
    np.testing.assert_allclose(host.numpy(values), [[0.0, 0.0], [0.5, 0.8]])
    np.testing.assert_allclose(np.exp(host.log_prob(d, values)), [[0.5, 0.2], [0.5, 0.8]])
    assert host.log_prob(d, np.array([0.3, 0.3])).tolist() == [-np.inf, -np.inf]


# Transformations of NumPyro's distributions as pytrees.


def test_a_distribution_made_inside_vmap_has_the_new_dimension():
    logits = jnp.arange(12.0).reshape(4, 3) / 10
    d = jax.vmap(lambda a: rn.RelaxedOneHotCategorical(0.5, logits=a))(logits)
    assert d.batch_shape == (4,)
    assert promote_batch_shape(d).batch_shape == (4,)
    x = d.sample(jax.random.key(0))
    assert x.shape == (4, 3)
    expected = rn.RelaxedOneHotCategorical(0.5, logits=logits).log_prob(x)
    np.testing.assert_allclose(d.log_prob(x), expected, rtol=1e-6)


SCANNED = {
    # Three steps and a batch of three: a temperature on the wrong axis would raise nothing.
    "vector": (3, lambda t: rn.RelaxedBernoulli(t, logits=jnp.array([0.5, -1.0, 0.2]))),
    "event": (None, lambda t: rn.RelaxedBernoulli(t, logits=jnp.arange(3.0)).to_event(1)),
    "plate": (2, lambda t: rn.RelaxedBernoulli(t, probs=0.3)),
    "expanded": (2, lambda t: rn.RelaxedOneHotCategorical(t, logits=jnp.arange(4.0))),
    "unused alternative": (
        2,
        lambda t: rn.LogisticNormalSoftmax(t * jnp.ones(2), scale_tril=jnp.eye(2)),
    ),
}


@pytest.mark.parametrize(("size", "law"), SCANNED.values(), ids=list(SCANNED))
def test_a_site_of_a_scan_is_scored_step_by_step(size, law):
    steps = jnp.array([0.4, 1.0, 2.5])

    def body(carry, t):
        if size is None:
            return carry, numpyro.sample("z", law(t))
        with numpyro.plate("rows", size):
            return carry, numpyro.sample("z", law(t))

    @jax.jit
    def scores():
        model = numpyro.handlers.seed(lambda: scan(body, 0.0, steps), 0)
        site = numpyro.handlers.trace(model).get_trace()["z"]
        return site["value"], site["fn"].log_prob(site["value"])

    value, found = scores()
    expected = [law(t).log_prob(v) for t, v in zip(steps, value, strict=True)]
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-5)


def test_vmap_over_a_batch_of_distributions_draws_once_for_each():
    d = rn.RelaxedBernoulli(jnp.array([0.3, 0.5, 0.9]), logits=jnp.array([0.1, 0.2, -0.4]))
    keys = jax.random.split(jax.random.key(1), 3)
    x = jax.vmap(lambda q, key: q.sample(key, (5,)))(d, keys)
    assert x.shape == (3, 5)
    np.testing.assert_allclose(
        jax.vmap(lambda q, v: q.log_prob(v))(d, x), d.log_prob(x.T).T, rtol=1e-6
    )
    axes = vmap_over(rn.HardConcrete(0.5, logits=d.logits), logits=0)
    shared = jax.vmap(lambda q, v: q.log_prob(v), in_axes=(axes, 0))
    x = jnp.array([0.0, 0.4, 1.0])
    same = rn.HardConcrete(0.5, logits=d.logits)
    np.testing.assert_allclose(shared(same, x), same.log_prob(x), rtol=1e-6)


def test_scan_carries_and_jit_returns_a_distribution():
    def step(q, key):
        x = q.sample(key)
        return rn.RelaxedBernoulli(q.temperature * 0.9, logits=q.logits + 0.1 * x), x

    first = rn.RelaxedBernoulli(1.0, logits=jnp.zeros(2))
    last, xs = jax.jit(lambda q: jax.lax.scan(step, q, jax.random.split(jax.random.key(0), 4)))(
        first
    )
    assert xs.shape == (4, 2)
    np.testing.assert_allclose(last.temperature, 0.9**4, rtol=1e-6)
    assert jax.jit(lambda: rn.HardConcrete(0.5, probs=0.3))().log_prob(0.0).shape == ()
    assert isinstance(last.to_event(1).mask(True), dist.Distribution)


@pytest.mark.parametrize(
    ("make", "event"),
    [
        (lambda t, a: rn.HardConcrete(t, logits=a), ()),
        pytest.param(
            lambda t, a: rn.RelaxedOneHotCategorical(t[:, 0], logits=a),
            (3,),
            marks=pytest.mark.long,  # Operation by operation.
        ),
    ],
    ids=["gate", "simplex"],
)
def test_moments_of_a_batch_under_jit(make, event):
    parameters = jnp.array([[0.3], [2.0]]), jnp.array([-1.0, 0.5, 2.0])

    def moments(*parameters):
        d = make(*parameters)
        return d.mean, d.variance, d.entropy()

    eager = moments(*parameters)
    assert eager[0].shape == make(*parameters).batch_shape + event
    for one, other in zip(eager, jax.jit(moments)(*parameters), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_nothing_is_cached_across_a_transformation():
    d = rn.RelaxedBernoulli(0.5, probs=jnp.array(0.3))
    jax.jit(lambda q: q.logits)(d)
    jax.grad(lambda t: rn.RelaxedBernoulli(t, probs=0.3).logits + t)(0.5)
    assert "logits" not in d.__dict__
    assert not isinstance(d.logits, jax.core.Tracer)


# What Pyro's users do with a distribution object.


def test_pickle_and_deepcopy_keep_the_law():
    d = rp.CorrelatedRelaxedBernoulli(
        0.5, logits=torch.tensor([0.1, -0.3, 1.0]), correlation_matrix=torch.tensor(R).float()
    ).expand((2,))
    x = d.sample()
    for twin in (pickle.loads(pickle.dumps(d)), copy.deepcopy(d)):
        torch.testing.assert_close(twin.log_prob(x), d.log_prob(x))
        assert twin.batch_shape == (2,)


def test_functional_vmap_constructs_samples_and_scores_inside():
    logits = torch.linspace(-1, 1, 4)

    def draw(a):
        d = rp.HardConcrete(0.7, logits=a)
        x = d.rsample((3,))
        return x, d.log_prob(x)

    torch.manual_seed(0)
    x, log_prob = torch.func.vmap(draw, randomness="different")(logits)
    assert x.shape == (4, 3)
    assert len(x.unique()) > 4
    expected = rp.HardConcrete(0.7, logits=logits[:, None]).log_prob(x)
    torch.testing.assert_close(log_prob, expected)
    slope = torch.func.vmap(torch.func.grad(lambda a: rp.HardConcrete(0.7, logits=a).log_prob(0.0)))
    torch.testing.assert_close(slope(logits), -torch.sigmoid(logits - 0.7 * np.log(0.1 / 1.1)))


def test_validation_off_reads_no_value():
    class Watched(torch.Tensor):
        read = 0

        def __bool__(self):
            Watched.read += 1
            return super().__bool__()

    logits = torch.zeros(3).as_subclass(Watched)
    for validate, reads in ((False, False), (True, True)):
        Watched.read = 0
        d = rp.RelaxedBernoulli(0.5, logits=logits, validate_args=validate)
        d.log_prob(d.rsample())
        assert (Watched.read > 0) is reads


def test_the_hosts_switch_turns_validation_off():
    before = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        rp.RelaxedBernoulli(-1.0, logits=0.0)
    finally:
        torch.distributions.Distribution.set_default_validate_args(before)
    with pytest.raises(ValueError, match="temperature"):
        rp.RelaxedBernoulli(-1.0, logits=0.0)
