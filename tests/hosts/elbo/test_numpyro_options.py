"""Particles, per-site choices, evaluations, errors and numerics of the NumPyro ELBOs."""

from __future__ import annotations

import pickle
import re
import warnings
from functools import partial

import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import SVI

import relaxppl.numpyro as rx
from tests.hosts.elbo.numpyro_cases import PLATE, TWO_LEVELS, VECTOR
from tests.hosts.elbo.numpyro_corner_cases import counts_guide, counts_model
from tests.hosts.elbo.unbiased import measure, own_parameters


def gradient(elbo, case, infer=()):
    guide, key = partial(case.guide, infer), jax.random.key(0)
    loss = lambda params: elbo.loss(key, params, case.model, guide)  # noqa: E731
    return jax.jit(jax.grad(loss))(case.values())


@pytest.mark.parametrize(
    "make", [partial(rx.REBAR_ELBO, learn=False), rx.RLOO_ELBO, rx.DisARM_ELBO]
)
def test_vectorised_and_sequential_particles_agree(make):
    together = gradient(make(num_particles=3), VECTOR)
    in_turn = gradient(make(num_particles=3, vectorize_particles=False), VECTOR)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-12), together, in_turn)


def test_particles_are_averaged():
    elbos = (rx.REBAR_ELBO(num_particles=n, learn=False) for n in (1, 4))
    one, four = (measure(elbo, VECTOR, draws=20_000) for elbo in elbos)
    assert max(one.worst, four.worst) < 4
    assert four.variance == pytest.approx(one.variance / 4, rel=0.1)


def test_uncoupled_latents_are_unbiased():
    outcome = measure(rx.REBAR_ELBO(coupled=False, learn=False), TWO_LEVELS, draws=50_000)
    assert outcome.worst < 4


@pytest.mark.parametrize(
    ("elbo", "case", "chosen"),
    [
        # tests/composition has both kinds of pair in programs of every shape.
        pytest.param(
            rx.DisARM_ELBO(num_particles=2),
            PLATE,
            {"z": "rebar", "k": "rloo"},
            marks=pytest.mark.long,
        ),
        (rx.ScoreFunction_ELBO(), TWO_LEVELS, {"a": "disarm", "b": "rebar"}),
    ],
    ids=["plate", "levels"],
)
def test_estimators_mix_by_site(elbo, case, chosen):
    infer = {site: {"estimator": name} for site, name in chosen.items()}
    assert measure(elbo, case, draws=50_000, infer=infer).worst < 4


def test_rloo_draws_share_the_subsample():
    """With one draw's rows in another's baseline the variance would not fall below this."""
    seen = []

    def model():
        with numpyro.plate("data", 1000, subsample_size=2) as rows:
            b = numpyro.sample("b", dist.Bernoulli(0.5))
            jax.debug.callback(lambda r: seen.append(np.asarray(r)), rows)
            numpyro.factor("f", b)

    def guide():
        with numpyro.plate("data", 1000, subsample_size=2):
            numpyro.sample("b", dist.Bernoulli(logits=numpyro.param("q", 0.3)))

    elbo = rx.RLOO_ELBO(num_particles=3, vectorize_particles=False)
    elbo.loss(jax.random.key(0), {"q": jnp.array(0.3)}, model, guide)
    jax.effects_barrier()
    assert len(seen) == 3
    assert all(np.array_equal(rows, seen[0]) for rows in seen)


EVALUATIONS = [
    (rx.ScoreFunction_ELBO(), VECTOR, 1),
    (rx.RLOO_ELBO(num_particles=4), VECTOR, 4),
    (rx.REBAR_ELBO(coupled=False, learn=False), TWO_LEVELS, 5),
    (rx.DisARM_ELBO(), TWO_LEVELS, 3),
    (rx.REBAR_ELBO(num_particles=2, learn=False), TWO_LEVELS, 6),
]


@pytest.mark.parametrize(("elbo", "case", "expected"), EVALUATIONS)
def test_model_evaluations(elbo, case, expected):
    count = []

    def model():
        jax.debug.callback(lambda: count.append(1))
        case.model()

    elbo.vectorize_particles_fn = jax.lax.map
    jax.block_until_ready(
        jax.jit(lambda key: elbo.loss(key, case.values(), model, case.guide))(jax.random.key(0))
    )
    jax.effects_barrier()
    assert len(count) == expected


def test_integer_site_under_rebar_names_the_way_out():
    with pytest.raises(NotImplementedError, match=r"'k' is a CategoricalLogits.*OneHotCategorical"):
        gradient(rx.REBAR_ELBO(), PLATE)


def test_counts_name_what_supports_them():
    for elbo in (rx.REBAR_ELBO(), rx.DisARM_ELBO(), rx.RELAX_ELBO()):
        with pytest.raises(NotImplementedError, match=r"'n' is a BinomialLogits.*score, rloo"):
            elbo.loss(jax.random.key(0), {}, counts_model, counts_guide)


def test_other_errors():
    with pytest.raises(ValueError, match="'b': unknown estimator 'gumbel'"):
        gradient(rx.REBAR_ELBO(), VECTOR, infer={"b": {"estimator": "gumbel"}})
    with pytest.raises(ValueError, match="'b': rloo compares draws and needs num_particles >= 2"):
        gradient(rx.REBAR_ELBO(), VECTOR, infer={"b": {"estimator": "rloo"}})
    with pytest.raises(ValueError, match=r"elbo\.prepare\(guide\)"):
        gradient(rx.REBAR_ELBO(learn=True), VECTOR)
    with pytest.raises(ValueError, match=r"elbo\.prepare\(guide\)"):
        gradient(rx.RELAX_ELBO(), VECTOR)
    with pytest.raises(ValueError, match=r"elbo\.prepare\(guide\)"):
        gradient(rx.ScoreFunction_ELBO(baseline="average"), VECTOR)
    with pytest.raises(ValueError, match="num_particles >= 2"):
        rx.RLOO_ELBO(num_particles=1)
    with pytest.raises(ValueError, match="temperature must be positive"):
        rx.REBAR_ELBO(temperature=0.0)
    with pytest.raises(ValueError, match="'both', 'rebar' or 'network'"):
        rx.RELAX_ELBO(control_variate="linear")


def b_guide():
    numpyro.sample("b", dist.Bernoulli(logits=numpyro.param("q", 0.3)))


def warned(elbo, model, guide, calls=2):
    """Returns the warnings of some losses, each traced again."""
    trace = numpyro.handlers.trace(numpyro.handlers.seed(guide, 0)).get_trace()
    params = {n: site["value"] for n, site in trace.items() if site["type"] == "param"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(calls):
            jax.eval_shape(lambda key: elbo.loss(key, params, model, guide), jax.random.key(0))
    assert all(issubclass(w.category, UserWarning) for w in caught)
    return [str(w.message) for w in caught]


def b_model():
    numpyro.factor("f", numpyro.sample("b", dist.Bernoulli(0.5)))


def test_what_could_learn_but_was_not_prepared_is_said_once():
    (message,) = warned(rx.REBAR_ELBO(temperature=0.3), b_model, b_guide)
    assert re.search(
        r"REBAR_ELBO: .* at b stay at 0\.3 and 1,.*prepare\(guide\).*learn=False", message
    )
    (message,) = warned(rx.RELAX_ELBO(control_variate="rebar"), b_model, b_guide)
    assert message.startswith("RELAX_ELBO: ")
    # An estimator that a site names can have options of its own.
    marked = numpyro.handlers.infer_config(b_guide, lambda site: {"estimator": "rebar"})
    (message,) = warned(rx.DisARM_ELBO(), b_model, marked)
    assert re.search(r"prepare\(guide\).*REBAR\(learn=False\)", message)
    for silent in (rx.REBAR_ELBO(learn=False), rx.DisARM_ELBO()):
        assert not warned(silent, b_model, b_guide)
    elbo = rx.REBAR_ELBO()
    assert not warned(elbo, b_model, elbo.prepare(b_guide))


def test_a_site_of_the_guide_alone_is_said_unless_it_is_auxiliary():
    def guide(infer):
        e = numpyro.sample("e", dist.Normal(0.0, 1.0), infer=infer)
        numpyro.sample("b", dist.Bernoulli(logits=numpyro.param("q", 0.3) + e))

    (message,) = warned(rx.DisARM_ELBO(), b_model, partial(guide, {}), calls=1)
    assert re.search("in guide but not model.*is_auxiliary.*'e'", message, re.DOTALL)
    assert not warned(rx.DisARM_ELBO(), b_model, partial(guide, {"is_auxiliary": True}))


def test_model_that_indexes_by_a_relaxed_value_is_named():
    table = jnp.array([0.2, 0.9])

    def model():
        b = numpyro.sample("b", dist.Bernoulli(0.5))
        numpyro.factor("f", table[b])

    def guide():
        numpyro.sample("b", dist.Bernoulli(logits=numpyro.param("q", 0.3)))

    params = {"q": jnp.array(0.3)}
    with pytest.raises(TypeError, match="relaxed values of 'b'"):
        rx.REBAR_ELBO(learn=False).loss(jax.random.key(0), params, model, guide)
    assert np.isfinite(rx.DisARM_ELBO().loss(jax.random.key(0), params, model, guide))


def on_value(of):
    """A model that makes its cost from the value of a site by a function that JAX cannot trace, or
    cannot differentiate."""

    def model():
        numpyro.factor("f", of(numpyro.sample("b", dist.Bernoulli(0.5))))

    return model


def called(call, b):
    return call(lambda x: np.float64(2.0 * x), jax.ShapeDtypeStruct((), np.float64), b)


NOT_DIFFERENTIABLE = {
    "pure_callback": partial(called, jax.pure_callback),
    "io_callback": partial(called, jax.experimental.io_callback),
    "while_loop": lambda b: jax.lax.while_loop(
        lambda s: s[0] < 3, lambda s: (s[0] + 1, 0.5 * s[1] + b), (0, 0.0 * b)
    )[1],
    "index": lambda b: jnp.array([0.2, 0.9])[b],
}
B_PARAMS = {"q": jnp.array(0.3)}


@pytest.mark.parametrize(
    ("name", "learn"), [*((name, True) for name in NOT_DIFFERENTIABLE), ("io_callback", False)]
)
def test_what_cannot_be_differentiated_names_the_way_out(name, learn):
    model, elbo = on_value(NOT_DIFFERENTIABLE[name]), rx.REBAR_ELBO(learn=learn)
    params = {**B_PARAMS, **(own_parameters(elbo, b_guide) if learn else {})}

    def gradient(elbo, model, params):
        loss = lambda params: elbo.loss(jax.random.key(0), params, model, b_guide)  # noqa: E731
        return jax.jit(jax.grad(loss))(params)["q"]

    told = r"relaxed values of 'b'.*'disarm'} or 'score'.*custom_jvp"
    with pytest.raises((TypeError, ValueError), match=told):
        gradient(elbo, model, params)
    # Each way out is one.
    for other in (rx.DisARM_ELBO(), rx.ScoreFunction_ELBO()):
        assert np.isfinite(gradient(other, model, B_PARAMS))
    if name.endswith("callback"):
        twice = jax.custom_jvp(NOT_DIFFERENTIABLE[name])
        twice.defjvps(lambda tangent, out, b: 2.0 * tangent)
        assert np.isfinite(gradient(elbo, on_value(lambda b: twice(1.0 * b)), params))


PYTHON_ONLY = {
    "if": lambda b: 1.0 if b > 0.5 else 0.0,
    "int": lambda b: [0.2, 0.9][int(b)],
    "list": lambda b: [0.2, 0.9][b],
    "dict": lambda b: {0: 0.2, 1: 0.9}[b],
    "item": lambda b: {0: 0.2, 1: 0.9}[b.item()],
    "numpy": lambda b: np.sin(np.asarray(b)),
}


@pytest.mark.parametrize("name", PYTHON_ONLY)
def test_what_cannot_be_traced_promises_no_estimator(name):
    for elbo in (rx.REBAR_ELBO(learn=False), rx.DisARM_ELBO(), rx.ScoreFunction_ELBO()):
        with pytest.raises(TypeError, match=r"whichever estimator.*jnp\.where") as error:
            elbo.loss(jax.random.key(0), B_PARAMS, on_value(PYTHON_ONLY[name]), b_guide)
        assert not any("relaxed values" in note for note in error.value.__notes__)
    chosen = on_value(lambda b: jnp.where(b > 0.5, 1.0, 0.0))
    assert np.isfinite(
        rx.REBAR_ELBO(learn=False).loss(jax.random.key(0), B_PARAMS, chosen, b_guide)
    )


def test_other_type_errors_of_a_program_are_left_alone():
    with pytest.raises(TypeError) as error:
        rx.DisARM_ELBO().loss(jax.random.key(0), B_PARAMS, on_value(lambda b: b + "1"), b_guide)
    assert not any("whichever" in note for note in getattr(error.value, "__notes__", []))


def test_model_whose_law_has_no_extension_is_named():
    def model():
        numpyro.sample("b", dist.Binomial(1, 0.5))

    def guide():
        numpyro.sample("b", dist.Bernoulli(logits=numpyro.param("q", 0.3)))

    with pytest.raises(NotImplementedError, match=r"site 'b': Binomial"):
        rx.REBAR_ELBO(learn=False).loss(jax.random.key(0), {"q": jnp.array(0.3)}, model, guide)


# RELAX's control variate holds all of REBAR's.
@pytest.mark.parametrize("make", [rx.DisARM_ELBO, rx.RELAX_ELBO])
def test_extreme_logits_are_finite(make):
    """In float32, from temperatures at both ends, and what SVI makes of them."""
    extreme = jnp.array([-60.0, 60.0, 0.0, 30.0], dtype=jnp.float32)

    def model():
        b = numpyro.sample("b", dist.Bernoulli(logits=-extreme).to_event(1))
        z = numpyro.sample("z", rx.OneHotCategorical(logits=extreme))
        logits = (b @ jnp.full((4, 2), 30.0, jnp.float32)) - 60.0 * z[:2]
        numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=jnp.array([0.0, 1.0]))

    def guide():
        numpyro.sample("b", dist.Bernoulli(logits=numpyro.param("q", extreme)).to_event(1))
        numpyro.sample("z", rx.OneHotCategorical(logits=numpyro.param("r", extreme)))

    elbo = make()
    svi = SVI(model, elbo.prepare(guide), numpyro.optim.Adam(1e-2), elbo)
    steps = jax.jit(lambda state: jax.lax.scan(lambda s, _: svi.update(s), state, None, 50))
    names = [f"{n}.estimator.temperature" for n in "bz"] if make is not rx.DisARM_ELBO else []
    for temperature in (0.05, 10.0) if names else (1.0,):
        with jax.enable_x64(False):
            start = dict.fromkeys(names, jnp.asarray(temperature))
            state, losses = steps(svi.init(jax.random.key(0), init_params=start))
            params = svi.get_params(state)
        assert params["q"].dtype == losses.dtype == jnp.float32
        assert all(np.all(np.isfinite(v)) for v in (losses, *params.values()))
        assert all(params[n] != start[n] for n in names)


def test_elbo_and_prepared_guide_survive_copies():
    elbo = pickle.loads(pickle.dumps(rx.REBAR_ELBO(temperature=0.3)))
    assert elbo.estimator.temperature == 0.3
    assert elbo.prepare(VECTOR.guide).__name__ == "vector_guide"


@pytest.mark.parametrize("estimator", ["relax", "score"])
def test_networks_follow_the_scale_of_their_site(estimator):
    """A subsampled plate multiplies the costs; all of the gradient is multiplied with them."""
    network = {
        "relax": rx.RELAX_ELBO(control_variate="network", hidden=3),
        "score": rx.ScoreFunction_ELBO(baseline="network", hidden=3),
    }
    elbo = network[estimator]
    guide = partial(VECTOR.guide, {"b": {"estimator_input": jnp.array([0.3, -1.0])}})
    params = {**VECTOR.values(), **own_parameters(elbo, guide)}

    @jax.jit
    def gradient(factor):
        scaled = [numpyro.handlers.scale(f, scale=factor) for f in (VECTOR.model, guide)]
        loss = lambda q: elbo.loss(jax.random.key(0), {**params, "q": q}, *scaled)  # noqa: E731
        return jax.grad(loss)(params["q"])

    np.testing.assert_allclose(gradient(50.0), 50.0 * gradient(1.0), rtol=1e-6)
