"""The chain's exact members against every path, and its posterior against the hosts' own HMMs."""

from __future__ import annotations

from itertools import product

import jax
import numpy as np
import numpyro
import numpyro.distributions as ndist
import pyro
import pyro.distributions as pdist
import pytest
import torch
from scipy import special

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from tests.adapter import HOSTS, Host
from tests.relaxations.cases import name_of

ALL_HOSTS = pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
RNG = np.random.default_rng(7)
STEPS, K = 4, 3
FIRST, MOVES = RNG.normal(size=(2, K)), RNG.normal(size=(2, STEPS - 1, K, K))
SEEN = RNG.normal(size=(5, 1, STEPS, K))
PATHS = list(product(range(K), repeat=STEPS))
VALUES = np.eye(K)[PATHS]


def log_chances(first=FIRST, moves=MOVES) -> np.ndarray:
    """The log probability of every path, (paths, 2)."""
    first, moves = special.log_softmax(first, -1), special.log_softmax(moves, -1)
    steps = moves.shape[1]
    return np.array(
        [first[:, p[0]] + sum(moves[:, t, p[t], p[t + 1]] for t in range(steps)) for p in PATHS]
    )


def chain(host: Host):
    return host.make("MarkovChain", {"initial_logits": FIRST, "transition_logits": MOVES})


@ALL_HOSTS
def test_members_are_sums_over_all_paths(host: Host):
    log_p = log_chances()
    p = np.exp(log_p)
    pairs = np.einsum("nb,nti,ntj->btij", p, VALUES[:, :-1], VALUES[:, 1:])
    evidence = np.einsum("abtk,ntk->nab", SEEN, VALUES) + log_p[:, None]
    total = special.logsumexp(evidence, axis=0)

    def members(d, values, seen):
        posterior = d.condition(seen)
        return {
            "log_prob": d.log_prob(values),
            "mean": d.mean,
            "entropy": d.entropy(),
            "mode": d.mode,
            "pairs": d.pair_marginals,
            "evidence": d.log_evidence(seen),
            "posterior": posterior.log_prob(values[:, None]),
            "kl": host.rx.kl_divergence(posterior, d),
        }

    given = host.array(VALUES[:, None]), host.array(SEEN)
    found = {n: host.numpy(x) for n, x in host.compiled(members)(chain(host), *given).items()}
    wanted = {
        "log_prob": log_p,
        "mean": np.einsum("nb,ntk->btk", p, VALUES),
        "entropy": -(p * log_p).sum(0),
        "mode": VALUES[log_p.argmax(0)],
        "pairs": pairs,
        "evidence": total,
        "posterior": evidence - total,
        "kl": (np.exp(evidence - total) * (evidence - total - log_p[:, None])).sum(0),
    }
    for what, right in wanted.items():
        np.testing.assert_allclose(found[what], right, rtol=0, atol=1e-12, err_msg=what)


@ALL_HOSTS
def test_a_chain_of_one_step_and_one_whose_evidence_rules_states_out(host: Host):
    d = host.make("MarkovChain", {"initial_logits": FIRST, "transition_logits": MOVES[:, :0]})
    assert host.samples(d, 0, (3,)).shape == (3, 2, 1, K)
    p = special.softmax(FIRST, -1)
    np.testing.assert_allclose(host.call(d, "mean")[:, 0], p, atol=1e-12)
    np.testing.assert_allclose(host.call(d, "entropy"), -(p * np.log(p)).sum(-1), atol=1e-12)
    seen = np.zeros((STEPS, K))
    seen[1, :2] = -np.inf
    posterior = chain(host).condition(host.array(seen))
    np.testing.assert_allclose(host.call(posterior, "mean")[:, 1], [[0, 0, 1]] * 2, atol=1e-12)
    with pytest.raises(ValueError, match=r"log_likelihood.*4, 3"):
        chain(host).condition(host.array(SEEN[..., :2]))


def test_the_posterior_is_that_of_the_hosts_hidden_markov_model():
    """Pyro sums the states of one program out; the gradient of its evidence is the posterior."""
    first, moves = torch.tensor(FIRST[0]), torch.tensor(MOVES[0])
    seen = torch.tensor(SEEN[0, 0], requires_grad=True)

    def model():
        z = None
        for t in pyro.markov(range(STEPS)):
            logits = first if z is None else moves[t - 1][z]
            z = pyro.sample(f"z{t}", pdist.Categorical(logits=logits))
            pyro.factor(f"x{t}", seen[t][z])

    summed = pyro.infer.config_enumerate(model)
    evidence = -pyro.infer.TraceEnum_ELBO().differentiable_loss(summed, lambda: None)
    marginals = torch.autograd.grad(evidence, seen)[0].numpy()
    for host in HOSTS.values():
        d = host.make("MarkovChain", {"initial_logits": FIRST[0], "transition_logits": MOVES[0]})
        given = host.array(SEEN[0, 0])
        np.testing.assert_allclose(host.call(d.condition(given), "mean"), marginals, atol=1e-12)
        assert host.call(d, "log_evidence", given) == pytest.approx(evidence.item(), abs=1e-12)


def test_relax_puts_the_relaxed_chain_in_its_place():
    def in_numpyro():
        with numpyro.plate("rows", 2):
            numpyro.sample("z", rn.MarkovChain(FIRST, MOVES))

    def in_pyro():
        with pyro.plate("rows", 2):
            pyro.sample("z", rp.MarkovChain(torch.tensor(FIRST), torch.tensor(MOVES)))

    seeded = numpyro.handlers.seed(rn.relax(in_numpyro, temperature=0.5), jax.random.key(0))
    traces = (
        numpyro.handlers.trace(seeded).get_trace(),
        pyro.poutine.trace(rp.relax(in_pyro, temperature=0.5)).get_trace().nodes,
    )
    for trace in traces:
        assert type(trace["z"]["fn"]).__name__ == "RelaxedMarkovChain"
        assert tuple(trace["z"]["value"].shape) == (2, STEPS, K)


@ALL_HOSTS
def test_the_cold_relaxed_chain_is_the_chain(host: Host):
    params = {"initial_logits": FIRST, "transition_logits": MOVES}
    cold = host.make("RelaxedMarkovChain", {"temperature": np.array(1e-6), **params})
    noise = host.noise(cold, 3, (200,))
    relaxed = host.from_noise(cold, noise)
    np.testing.assert_allclose(relaxed, host.from_noise(chain(host), noise), atol=1e-3)


# The estimators that need no logits take the chain as one site.

ROWS = np.array([0.5, -1.0, 1.2])


def exact_gradient() -> np.ndarray:
    """Of E[(sum of the path's rows)^2] in the first state's logits, by differences."""
    cost = (VALUES @ ROWS).sum(-1) ** 2

    def mean(first):
        return np.exp(log_chances(first[None], MOVES[:1])[:, 0]) @ cost

    moves = 1e-5 * np.eye(K)
    return np.array([(mean(FIRST[0] + m) - mean(FIRST[0] - m)) / 2e-5 for m in moves])


def test_score_and_rloo_take_the_chain_as_one_site_of_numpyro():
    def model():
        z = numpyro.sample("z", rn.MarkovChain(FIRST[0], MOVES[0]).mask(False))
        numpyro.factor("cost", -((z @ ROWS).sum(-1) ** 2))

    def guide():
        first = numpyro.param("first", FIRST[0])
        numpyro.sample("z", rn.MarkovChain(first, MOVES[0]).mask(False))

    def gradient(first, key):
        losses = (elbo.loss(key, {"first": first}, model, guide) for elbo in elbos)
        return sum(losses) / 2

    elbos = rn.ScoreFunction_ELBO(), rn.RLOO_ELBO(num_particles=2)
    keys = jax.random.split(jax.random.key(1), 8_000)
    draws = np.asarray(jax.jit(jax.vmap(jax.grad(gradient), (None, 0)))(FIRST[0], keys))
    error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - exact_gradient()) < 4 * error).all()


def test_score_and_rloo_take_the_chain_as_one_site_of_pyro():
    rows, moves = torch.tensor(ROWS), torch.tensor(MOVES[0])

    def model():
        with pyro.plate("copies", 8_000):
            z = pyro.sample("z", rp.MarkovChain(torch.tensor(FIRST[0]), moves).mask(False))
            pyro.factor("cost", -((z @ rows).sum(-1) ** 2))

    def guide():
        first = pyro.param("first", torch.tensor(FIRST[0]).expand(8_000, K).contiguous())
        with pyro.plate("copies", 8_000):
            pyro.sample("z", rp.MarkovChain(first, moves).mask(False))

    for elbo in rp.ScoreFunction_ELBO(), rp.RLOO_ELBO(num_particles=2):
        pyro.clear_param_store()
        torch.manual_seed(0)
        elbo.loss_and_grads(model, guide)
        draws = pyro.get_param_store()._params["first"].grad.numpy()
        error = draws.std(0) / np.sqrt(len(draws))
        assert (np.abs(draws.mean(0) - exact_gradient()) < 4 * error).all()


def test_numpyro_takes_the_chain_through_scan_and_vmap():
    draws = jax.vmap(lambda f, key: rn.MarkovChain(f, MOVES[0]).sample(key))(
        FIRST, jax.random.split(jax.random.key(0), 2)
    )
    assert draws.shape == (2, STEPS, K)
    assert isinstance(rn.MarkovChain(FIRST, MOVES).to_event(1), ndist.Independent)
