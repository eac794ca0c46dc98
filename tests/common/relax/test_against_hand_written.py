"""A relaxed program is the one that its author would have written: shapes and log densities."""

from __future__ import annotations

import numpy as np

from tests.adapter import both

T = 0.6
LOGITS = np.random.default_rng(0).normal(size=(3, 1, 2))
CLASS_LOGITS = np.random.default_rng(1).normal(size=(4, 5))
PLATES = ("groups", "items")
DATA = np.random.default_rng(2).normal(size=(3, 6, 2))


def program(host, bernoulli, one_hot):
    """Nested plates, subsampling, a mask, a to_event, an expand and an observed discrete site."""
    flags = np.array([[True], [False], [True]])

    def model():
        table = host.array(np.arange(10.0).reshape(5, 2))
        with host.plate("groups", 3, dim=-2):
            own = host.sample("own", bernoulli(probs=host.array([[0.3], [0.5], [0.9]])))
            with host.plate("items", 6, subsample_size=4, dim=-1) as index:
                pair = host.sample(
                    "pair", bernoulli(logits=host.array(LOGITS)).to_event(1), infer={"mark": 1}
                )
                kind = host.sample("kind", one_hot(logits=host.array(CLASS_LOGITS)))
                with host.mask(flags):
                    noisy = host.sample("noisy", bernoulli(probs=host.array(0.2)))
                host.sample("seen", host.dist.Bernoulli(host.array(0.4)), obs=host.array(1.0))
                given = host.sample("given", host.dist.Bernoulli(host.array(0.4)))
                mean = pair + kind @ table + (own + noisy + given)[..., None]
                data = host.array(DATA)[:, index]
                host.sample("x", host.dist.Normal(mean, 1.0).to_event(1), obs=data)
        wide = host.sample("wide", bernoulli(probs=host.array(0.7)).expand([7]).to_event(1))
        return wide

    return host.condition(model, {"given": host.array(0.0)})


def discrete(host):
    return program(host, host.dist.Bernoulli, host.rx.OneHotCategorical)


def by_hand(host):
    def bernoulli(**given):
        return host.rx.RelaxedBernoulli(T, **given)

    def one_hot(**given):
        return host.rx.RelaxedOneHotCategorical(T, **given)

    return program(host, bernoulli, one_hot)


def evaluated(host, program, seed=0):
    """The sites of a run, and their values and log densities, compiled where the host compiles."""
    sites = {}

    def run():
        sites.update(host.trace(program, seed=seed))
        drawn = {n: s for n, s in sites.items() if s["type"] == "sample" and n not in PLATES}
        return {n: (s["value"], host.site_log_prob(s)) for n, s in drawn.items()}

    return sites, host.compiled(run)()


@both
def test_same_shapes_and_log_densities_as_by_hand(host):
    wanted, densities = evaluated(host, by_hand(host), seed=1)
    relaxed = host.rx.relax(discrete(host), temperature=T)
    found, found_densities = evaluated(host, relaxed, seed=1)
    assert list(found) == list(wanted)
    assert set(found_densities) == {"own", "pair", "kind", "noisy", "seen", "given", "x", "wide"}
    for name in found_densities:
        mine, theirs = found[name], wanted[name]
        assert type(mine["fn"]) is type(theirs["fn"]), name
        assert mine["fn"].batch_shape == theirs["fn"].batch_shape, name
        assert mine["fn"].event_shape == theirs["fn"].event_shape, name
        assert mine["is_observed"] == theirs["is_observed"], name
        assert [f.name for f in mine["cond_indep_stack"]] == [
            f.name for f in theirs["cond_indep_stack"]
        ]
        for x, other in zip(found_densities[name], densities[name], strict=True):
            x, other = host.numpy(x), host.numpy(other)
            np.testing.assert_allclose(x, other, rtol=1e-12, atol=1e-12, err_msg=name)
    assert found["pair"]["infer"]["mark"] == 1
    values = host.numpy(found_densities["pair"][0])
    assert np.all((values > 0) & (values < 1))


@both
def test_the_context_manager_does_the_same(host):
    model = discrete(host)

    def inside():
        with host.rx.relax(temperature=T):
            return model()

    (_, found), (_, wanted) = evaluated(host, inside), evaluated(host, by_hand(host))
    for name in ("own", "pair", "kind", "noisy", "wide"):
        densities = (host.numpy(x[name][1]) for x in (found, wanted))
        np.testing.assert_allclose(*densities, rtol=1e-12)


@both
def test_as_a_decorator(host):
    @host.rx.relax(temperature=T)
    def model():
        return host.sample("z", host.dist.Bernoulli(host.array(0.3)))

    value = host.numpy(host.trace(model)["z"]["value"])
    assert 0 < value < 1
    assert 0 < host.numpy(host.trace(model, seed=1)["z"]["value"]) < 1
