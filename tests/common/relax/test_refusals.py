"""What relax refuses, and that it says where and what would do."""

from __future__ import annotations

import numpyro
import pytest

import relaxppl.numpyro as rn
from relaxppl.numpyro import shell as numpyro_shell
from relaxppl.pyro import shell as pyro_shell
from relaxppl.relaxations.base import Parameter, Relaxation
from tests.adapter import both
from tests.common.relax.programs import law, one_site, stands


@both
def test_an_integer_categorical_is_refused(host):
    discrete = host.dist.Categorical(logits=host.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="'z' is an integer Categorical") as error:
        stands(host, discrete)
    message = str(error.value)
    assert f"z = {host.name}.sample('z', rx.OneHotCategorical(logits=logits))" in message
    assert "z @ table" in message
    assert law(stands(host, discrete, config={"z": None})).startswith("Categorical")


@both
def test_a_class_without_a_relaxation(host):
    discrete = host.dist.Multinomial(3, probs=host.array([0.4, 0.6]))
    with pytest.raises(ValueError, match=r"'z' is a Multinomial\w*, .*register_relaxation"):
        stands(host, discrete)


@both
def test_another_event_shape(host):
    with pytest.raises(ValueError, match=r"'z' has events of shape \(\).*shape \(2,\)"):
        stands(
            host,
            host.dist.Bernoulli(host.array(0.3)),
            config={
                "z": lambda d, t: host.rx.RelaxedOneHotCategorical(t, logits=host.array([0.0, 1.0]))
            },
        )


@both
def test_another_batch_shape(host):
    with pytest.raises(ValueError, match=r"'z' has batch shape \(2,\).* has \(3,\)"):
        stands(
            host,
            host.dist.Bernoulli(host.array([0.3, 0.4])),
            config={"z": lambda d, t: host.rx.RelaxedBernoulli(t, logits=host.array([0.0] * 3))},
        )


@both
def test_an_unknown_site_in_config(host):
    with pytest.raises(ValueError, match=r"config names 'y', but .*its sites are: z"):
        stands(host, host.dist.Bernoulli(host.array(0.3)), config={"y": None})
    # An observed site is a site.
    observed = host.condition(
        one_site(host, host.dist.Bernoulli(host.array(0.3))), {"z": host.array(1.0)}
    )
    host.trace(host.rx.relax(observed, temperature=0.5, config={"z": host.rx.RebarRelaxation}))


@both
@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive(host, temperature):
    with pytest.raises(ValueError, match=r"temperature must be positive \(> 0\), got"):
        host.rx.relax(lambda: None, temperature=temperature)
    with pytest.raises(ValueError, match=r"temperature must be positive \(> 0\), got"):
        host.rx.RelaxReparam(temperature)


@both
def test_a_temperature_array_that_is_not_positive(host):
    with pytest.raises(ValueError, match=r"at the site 'z' \(Bernoulli.*temperature"):
        stands(host, host.dist.Bernoulli(host.array(0.3)), temperature=host.array(-0.5))


@both
def test_arguments_of_the_wrong_kind(host):
    with pytest.raises(TypeError, match="give a temperature"):
        host.rx.relax(lambda: None)
    with pytest.raises(TypeError, match="positive number, an array or a schedule"):
        host.rx.relax(lambda: None, temperature="cold")
    with pytest.raises(TypeError, match="positive number, an array or a schedule"):
        host.rx.relax(lambda: None, temperature={"z": 0.5})
    with pytest.raises(TypeError, match="config must be a dict"):
        host.rx.relax(lambda: None, temperature=0.5, config=3)
    with pytest.raises(TypeError, match=r"class or None, got 3 for 'z'"):
        host.rx.relax(lambda: None, temperature=0.5, config={"z": 3})
    made = host.rx.HardConcrete(0.5, probs=0.3)
    with pytest.raises(TypeError, match=r"class or None, got .*HardConcrete.* for 'z'"):
        host.rx.relax(lambda: None, temperature=0.5, config={"z": made})
    with pytest.raises(TypeError, match=r"InvertibleGaussian cannot be made .* needs loc, scale"):
        stands(
            host,
            host.rx.OneHotCategorical(logits=host.array([0.0, 1.0])),
            config={"z": host.rx.InvertibleGaussian},
        )
    with pytest.raises(TypeError, match="none of this package's distributions"):
        stands(host, host.dist.Bernoulli(host.array(0.3)), config={"z": host.dist.Normal})


@both
def test_hard_without_harden(host):
    def foreign(d, t):
        return host.dist.Normal(host.array(0.0), 1.0)

    with pytest.raises(ValueError, match="Normal at the site 'z' has no method harden"):
        stands(host, host.dist.Bernoulli(host.array(0.3)), config={"z": foreign}, hard=True)


class NoHardValues(Relaxation):
    """A relaxation of one's own that does not say what it relaxes."""

    parameters = (Parameter("loc", "real"),)
    support = "real"

    def sample(self, noise):
        return self.loc + noise

    def log_prob(self, value):
        return -((value - self.loc) ** 2)


class OnNumPyro(numpyro_shell.RelaxedDistribution):
    relaxation = NoHardValues


class OnPyro(pyro_shell.RelaxedDistribution):
    relaxation = NoHardValues


@both
def test_hard_of_a_relaxation_that_does_not_harden(host):
    kind = {"numpyro": OnNumPyro, "pyro": OnPyro}[host.name]
    bit, config = host.dist.Bernoulli(host.array(0.3)), {"z": lambda d, t: kind(host.array(0.0))}
    assert law(stands(host, bit, config=config)) == kind.__name__
    with pytest.raises(ValueError, match=rf"{kind.__name__} at the site 'z' has no method harden"):
        stands(host, bit, config=config, hard=True)


@both
def test_hard_of_a_class_of_ones_own_with_a_method_harden(host):
    class Own(host.dist.Normal):
        def harden(self, value):
            return (value > 0.0) * host.array(1.0)

    config = {"z": lambda d, t: Own(host.array(0.0), host.array(1.0))}
    site = stands(host, host.dist.Bernoulli(host.array(0.3)), config=config, hard=True)
    assert host.numpy(site["value"]) in (0.0, 1.0)


def test_traced_counts_need_a_size():
    import jax

    def density(rate):
        site = rn.relax(
            lambda: numpyro.sample("z", numpyro.distributions.Poisson(rate)), temperature=0.5
        )
        return numpyro.handlers.seed(site, 0)()

    with pytest.raises(ValueError, match=r"at the site 'z' \(Poisson\).*size"):
        jax.jit(density)(2.0)
