"""Dependences that leave torch's operations: every gradient is right, or refused by name."""

from __future__ import annotations

import ctypes
import itertools
import warnings
from functools import partial

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.infer
import pyro.optim
import pytest
import torch

import relaxppl.pyro as rx
from relaxppl.pyro.auto.factors import factors_of
from tests.hosts.elbo.pyro_leaks import (
    BETA,
    DIRICHLET,
    ESCAPES,
    FUNCTIONS,
    HANDED_OVER,
    LEAKS,
    WEIGHED,
    one_site,
    scripted,
    through_function,
    two_levels,
)
from tests.hosts.elbo.pyro_unbiased import measure

ESTIMATORS = {
    "score": (rx.ScoreFunction_ELBO, {}),
    "rloo": (rx.RLOO_ELBO, {"num_particles": 2}),
    "disarm": (rx.DisARM_ELBO, {}),
    "rebar": (rx.REBAR_ELBO, {"temperature": 0.6, "learn": False}),
    "relax": (rx.RELAX_ELBO, {"hidden": 3, "learn": True}),
}
PATHWISE = ("rebar", "relax")
REFUSED = {"numpy", "out"}
"""Leaks that torch refuses at values with a derivative, such as those of a control variate."""


@pytest.fixture(autouse=True)
def _store():
    pyro.clear_param_store()


@pytest.mark.filterwarnings("ignore:what depends on site")
# RLOO learns of a leak as the score function does, and RELAX as REBAR does.
@pytest.mark.parametrize("estimator", ["score", "disarm", "rebar"])
@pytest.mark.parametrize(
    ("leak", "program"),
    # One of each kind of leak where the guide leaks too.
    [(leak, one_site) for leak in LEAKS]
    + [(leak, two_levels) for leak in ("if", "numpy", "write", "script", "where")],
)
def test_mean_gradient_is_exact(leak, program, estimator):
    make, options = ESTIMATORS[estimator]
    elbo, case = make(**options), program(LEAKS[leak])
    if estimator in PATHWISE and leak in REFUSED:
        with pytest.raises(RuntimeError) as refusal:
            elbo.loss_and_grads(*case.build(2))
        assert "infer={'estimator': 'disarm'}" in "".join(refusal.value.__notes__)
        return
    slow = leak in ("if", "item", "dict", "slice", "tensor", "new_tensor")
    outcome = measure(elbo, case, draws=1_000 if slow else 20_000, calls=2)
    assert outcome.worst < 4.5


@pytest.fixture
def _fusing():
    """TorchScript makes one kernel of the operations of a script, as it does on a GPU."""
    fuses, needs = torch._C._jit_can_fuse_on_cpu(), torch._C._jit_get_te_must_use_llvm_cpu()
    torch._C._jit_override_can_fuse_on_cpu(True)
    torch._C._jit_set_te_must_use_llvm_cpu(False)
    yield
    torch._C._jit_override_can_fuse_on_cpu(fuses)
    torch._C._jit_set_te_must_use_llvm_cpu(needs)


@pytest.mark.usefixtures("_fusing")
@pytest.mark.parametrize("estimator", ["score", "rebar"])
@pytest.mark.parametrize("kind", ["function", "keyword", "module"])
def test_scripts_whose_operations_are_one_kernel(kind, estimator):
    def line(z: torch.Tensor, slope: float = 2.0) -> torch.Tensor:
        return slope * z - 0.5

    class Line(torch.nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return 2.0 * z - 0.5

    leak = torch.jit.script(Line() if kind == "module" else line)
    if kind == "keyword":
        leak = partial(leak, slope=2.0)
    for _ in range(5):
        leak(torch.rand(20_000, 1, dtype=torch.float64))
    assert "TensorExprGroup" in str(torch.jit.last_executed_optimized_graph())
    make, options = ESTIMATORS[estimator]
    outcome = measure(make(**options), one_site(leak))
    assert outcome.worst < 4.5
    # What is known to be smooth is relaxed; the score function's variance is .86.
    if estimator == "rebar" and kind == "module":
        assert outcome.variance < 0.5


@pytest.mark.parametrize("estimator", ["score", "disarm", "rebar"])
@pytest.mark.parametrize("case", [HANDED_OVER, WEIGHED], ids=lambda c: c.name)
def test_another_value_of_a_site_reaches_all_that_the_guide_makes_of_it(case, estimator):
    make, options = ESTIMATORS[estimator]
    assert measure(make(**options), case, calls=2).worst < 4.5


@pytest.mark.parametrize("leak", LEAKS)
def test_what_cannot_be_followed_is_said_once(leak):
    programs = one_site(LEAKS[leak]).build(2)
    elbo = rx.ScoreFunction_ELBO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            elbo.loss_and_grads(*programs)
    told = [str(w.message) for w in caught if "leaves torch" in str(w.message)]
    if leak in ESCAPES:
        (message,) = told
        assert "'z'" in message
        assert "pyro_leaks.py:" in message
    else:
        assert not told


@pytest.mark.filterwarnings("ignore:what depends on site")
def test_a_fit_by_a_branch_reaches_the_posterior():
    def model():
        z = pyro.sample("z", dist.Bernoulli(0.3))
        loc = 1.5 if z > 0.5 else -0.5
        pyro.sample("x", dist.Normal(loc, 0.8), obs=torch.tensor(1.1))

    def guide():
        pyro.sample("z", dist.Bernoulli(logits=pyro.param("q", torch.tensor(0.4))))

    pyro.set_rng_seed(0)
    optimizer = pyro.optim.ClippedAdam({"lr": 0.2, "lrd": 0.97})
    svi = pyro.infer.SVI(model, guide, optimizer, rx.RLOO_ELBO(num_particles=4))
    for _ in range(100):
        svi.step()
    # The prior is 0.3, which a fit without the dependence reaches.
    assert abs(float(torch.sigmoid(pyro.param("q"))) - 0.736) < 0.06


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_pass_by_functions_of_autograd(function, estimator):
    make, options = ESTIMATORS[estimator]
    outcome = measure(make(**options), through_function(FUNCTIONS[function]), draws=10_000, calls=2)
    assert outcome.worst < 4.5


@pytest.mark.parametrize("case", [BETA, DIRICHLET], ids=lambda c: c.name)
@pytest.mark.parametrize("options", [{}, {"exact_kl": True}], ids=["sampled", "exact_kl"])
@pytest.mark.parametrize("make", [rx.ScoreFunction_ELBO, rx.DisARM_ELBO])
def test_gradients_pass_by_the_samplers_of_beta_and_dirichlet(make, options, case):
    outcome = measure(make(**options), case)
    assert outcome.worst < 4.5
    assert outcome.error < 0.05


def test_integrating_the_kl_keeps_the_gradient_of_a_beta_without_discrete_parents():
    def model():
        z = pyro.sample("z", dist.Bernoulli(0.3))
        w = pyro.sample("w", dist.Beta(1.0, 1.0))
        pyro.sample("x", dist.Normal(w + 0.0 * z, 0.5), obs=torch.tensor(0.9))

    def guide():
        pyro.sample("z", dist.Bernoulli(0.4))
        pyro.sample("w", dist.Beta(pyro.param("c", torch.tensor(1.5)), 2.0))

    pyro.set_rng_seed(0)
    gradients = []
    for exact_kl in (True, False):
        elbo = rx.ScoreFunction_ELBO(
            exact_kl=exact_kl, num_particles=2000, vectorize_particles=True, max_plate_nesting=0
        )
        elbo.loss_and_grads(model, guide)
        leaf = pyro.param("c").unconstrained()
        gradients.append(float(leaf.grad))
        leaf.grad = None
    assert abs(gradients[1]) > 0.05
    assert abs(gradients[0] - gradients[1]) < 0.1


def test_a_site_that_some_values_alone_reach():
    """Both estimators of a guide with a branch around a site, against its two outcomes by hand."""

    def model():
        a = pyro.sample("a", dist.Bernoulli(0.4))
        loc = pyro.sample("b", dist.Bernoulli(0.7)) if a > 0.5 else torch.tensor(-0.5)
        pyro.sample("x", dist.Normal(loc, 0.6), obs=torch.tensor(0.8))

    def guide():
        a = pyro.sample("a", dist.Bernoulli(logits=pyro.param("qa", torch.tensor(0.3))))
        if a > 0.5:
            pyro.sample("b", dist.Bernoulli(logits=pyro.param("qb", torch.tensor(-0.4))))

    def exact(qa, qb):
        log = torch.nn.functional.logsigmoid
        x = lambda loc: dist.Normal(loc, 0.6).log_prob(torch.tensor(0.8))  # noqa: E731
        zero = torch.tensor(0.6).log() + x(torch.tensor(-0.5)) - log(-qa)
        one = torch.tensor(0.4).log() - log(qa)
        for b, prior, log_q in ((1.0, 0.7, log(qb)), (0.0, 0.3, log(-qb))):
            one = one + log_q.exp() * (torch.tensor(prior).log() + x(torch.tensor(b)) - log_q)
        return -(log(-qa).exp() * zero + log(qa).exp() * one)

    leaves = [torch.tensor(0.3, requires_grad=True), torch.tensor(-0.4, requires_grad=True)]
    truth = torch.autograd.grad(exact(*leaves), leaves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for make, options in (ESTIMATORS[n] for n in ("score", "rloo", "disarm", "rebar")):
            pyro.set_rng_seed(1)
            pyro.clear_param_store()
            elbo, draws = make(**options), []
            for _ in range(100):
                elbo.loss_and_grads(model, guide)
                found = []
                for name in ("qa", "qb"):
                    leaf = pyro.get_param_store()._params.get(name)
                    found.append(0.0 if leaf is None or leaf.grad is None else float(leaf.grad))
                    if leaf is not None:
                        leaf.grad = None
                draws.append(found)
            draws = torch.tensor(draws)
            error = draws.std(0) / len(draws) ** 0.5
            score = (draws.mean(0) - torch.stack(truth)) / error
            assert score.abs().max() < 4.5, type(elbo).__name__


def test_a_dependence_that_no_operation_shows_is_an_error():
    """What reads memory outside of torch is seen by its effect."""

    def model():
        z = pyro.sample("z", dist.Bernoulli(torch.tensor(0.3)))
        # The address alone is known: nothing tells that memory is read here.
        with torch._C.DisableTorchFunction():
            address = z.data_ptr()
        loc = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))[0]
        pyro.sample("x", dist.Normal(loc, 0.8), obs=torch.tensor(1.1))

    def guide():
        pyro.sample("z", dist.Bernoulli(logits=pyro.param("q", torch.tensor(0.4))))

    with pytest.raises(RuntimeError, match=r"term of site 'x' changes with the value of site 'z'"):
        rx.ScoreFunction_ELBO().loss_and_grads(model, guide)


def test_a_program_of_many_kinds_of_terms_passes_the_check():
    """Noise of the program's own is the same in all runs that are compared."""

    def model(data):
        z = pyro.sample("z", dist.Bernoulli(torch.tensor(0.3)))
        dropped = torch.nn.functional.dropout(data, 0.5)
        pyro.sample("y", dist.Normal(dropped.mean(), 1.0), obs=torch.tensor(0.2))
        pyro.sample("x", dist.Normal(z + torch.randn(()), 1.0), obs=torch.tensor(1.1))

    def guide(data):
        pyro.sample("z", dist.Bernoulli(logits=pyro.param("q", torch.tensor(0.4))))

    elbo = rx.ScoreFunction_ELBO()
    for _ in range(12):
        elbo.loss_and_grads(model, guide, torch.randn(5))


@pytest.mark.parametrize("source", ["steps", "NumPy", "generator"])
def test_numbers_that_change_from_run_to_run_are_no_dependence(source):
    steps, generator = itertools.count(1), torch.Generator()
    numbers = {
        "steps": lambda: 1.0 / next(steps),
        "NumPy": lambda: float(np.random.default_rng().normal()),
        "generator": lambda: torch.randn((), generator=generator),
    }

    def model():
        z = pyro.sample("z", dist.Bernoulli(torch.tensor(0.3)))
        pyro.sample("y", dist.Normal(numbers[source](), 1.0), obs=torch.tensor(0.2))
        pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.1))

    def guide():
        pyro.sample("z", dist.Bernoulli(logits=pyro.param("q", torch.tensor(0.4))))

    rx.ScoreFunction_ELBO().loss_and_grads(model, guide)


@pytest.mark.filterwarnings("ignore:what depends on site")
def test_comparing_estimators_calls_the_right_ones_unbiased():
    """The exact answer is enumerated without any knowledge of what depends on what."""
    model, guide = one_site(branch_of_one).build(1)
    estimators = [rx.ScoreFunction_ELBO(), rx.DisARM_ELBO(), pyro.infer.Trace_ELBO()]
    found = rx.compare_estimators(estimators, model, guide, None, num_draws=100)
    assert all(found.unbiased.values())
    graph = {"graph": pyro.infer.TraceGraph_ELBO()}
    assert not rx.compare_estimators(graph, model, guide, None, num_draws=100).unbiased["graph"]
    truth = one_site(branch_of_one).gradient()[1]["q"]
    exact = found.stats["DisARM_ELBO"].exact["q"]
    torch.testing.assert_close(torch.as_tensor(exact).reshape(-1), truth, rtol=1e-6, atol=1e-8)


def branch_of_one(z):
    loc = 1.5 if z.reshape(()) > 0.5 else -0.5
    return torch.tensor([[loc]], dtype=z.dtype)


@pytest.mark.parametrize("learn", [None, False])
def test_what_could_learn_but_was_not_prepared_says_so_once(learn):
    programs = one_site(scripted).build(2)
    elbo = rx.REBAR_ELBO(learn=learn)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            elbo.loss_and_grads(*programs)
    told = [str(w.message) for w in caught if "was not prepared" in str(w.message)]
    assert len(told) == (1 if learn is None else 0)


@pytest.mark.filterwarnings("ignore:what depends on site")
@pytest.mark.parametrize("branches", ["model", "guide"])
def test_a_branch_may_read_any_site_at_another_value(branches):
    """DisARM evaluates the other side too: what it read there counted for one of two draws."""

    def read(where, s, z, w):
        return s + z + w if where != branches else z if s > 0.5 else w

    def model():
        drawn = [pyro.sample(name, dist.Bernoulli(torch.tensor(0.4))) for name in "szw"]
        x = pyro.sample("x", dist.Normal(read("model", *drawn), 1.0))
        pyro.sample("y", dist.Normal(x, 1.0), obs=torch.tensor(0.8))

    def guide():
        logits = pyro.param("logits", torch.tensor([0.2, 0.4, -0.5]))
        drawn = [
            pyro.sample(n, dist.Bernoulli(logits=x)) for n, x in zip("szw", logits, strict=True)
        ]
        pyro.sample("x", dist.Normal(read("guide", *drawn), 0.5))

    (program,) = rx.DisARM_ELBO().programs(model, guide, (), {})
    of_x = [term for term in program.terms if term.name == "x"]
    assert len(of_x) == 2
    assert all({"s", "z", "w"} <= term.deps for term in of_x)
    assert program.downstream(frozenset("zw")) == {"x"}
    (found,) = (f.sites for f in factors_of(model, "szwx", (), {}) if f.of == "x")
    assert found == {"s", "z", "w", "x"}
