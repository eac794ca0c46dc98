"""to_arviz against SciPy, and what ArviZ makes of the result, on either line of ArviZ."""

from __future__ import annotations

import functools
import json
from typing import Any

import arviz as az
import matplotlib as mpl
import numpy as np
import pytest
from scipy import special

from tests.common.arviz import arviz_cases as cases
from tests.common.arviz.arviz_cases import both

mpl.use("agg")
DRAWS = 600
SITES = ("w", "c_hard", "z_hard", "k_hard")
GROUPS = {
    "posterior",
    "posterior_predictive",
    "log_likelihood",
    "sample_stats",
    "prior",
    "prior_predictive",
    "observed_data",
    "constant_data",
}
OLD = int(az.__version__.split(".")[0]) < 1


@functools.cache
def fit(name: str) -> tuple[Any, Any]:
    host = cases.host_of(name)
    svi = host.svi(*cases.relaxed(host))
    data = host.to_arviz(
        svi,
        cases.params_of(host),
        host.array(cases.X),
        host.array(cases.Y),
        num_draws=DRAWS,
        prior=400,
        coords={"data": cases.LABELS, "class": ["r", "g", "b"]},
        dims={"k": ["slot", "class"]},
    )
    return host, data


def drawn(data: Any) -> tuple[np.ndarray, ...]:
    return tuple(data["posterior"][site].values for site in SITES)


def names_of(data: Any) -> set[str]:
    return set(data.groups()) if OLD else set(data.children)


@both
def test_log_densities_are_those_of_the_discrete_program(name):
    _, data = fit(name)
    draws, found = drawn(data), data["sample_stats"]
    np.testing.assert_allclose(found["log_p"], cases.log_p(*draws), rtol=1e-5)
    np.testing.assert_allclose(found["log_q"], cases.log_q(*draws), rtol=1e-5)
    np.testing.assert_allclose(found["log_weight"], found["log_p"] - found["log_q"], atol=1e-4)
    each = cases.log_likelihood(*draws[:3])
    np.testing.assert_allclose(data["log_likelihood"]["y"], each, rtol=1e-5)


@both
def test_draws_have_the_laws_of_the_guide(name):
    _, data = fit(name)
    w, c, z, k = drawn(data)
    bits = special.expit(cases.PARAMS["z_logits"])
    classes = special.softmax(cases.PARAMS["k_logits"], -1)
    for draws, mean, variance in (
        (w, 0.3, 0.25),
        (c, 1.7, 1.7),
        (z, bits, bits * (1 - bits)),
        (k, classes, classes * (1 - classes)),
    ):
        error = np.abs(draws.mean((0, 1)) - mean) / np.sqrt(variance / DRAWS)
        assert np.all(error < 4.5)


@both
def test_relaxed_sites_stand_beside_their_hardened_values(name):
    _, data = fit(name)
    posterior = data["posterior"]
    z, k, c = (posterior[site].values for site in "zkc")
    assert z.dtype.kind == k.dtype.kind == c.dtype.kind == "f"
    assert {posterior[f"{site}_hard"].dtype.kind for site in "zkc"} == {"i"}
    np.testing.assert_array_equal(posterior["z_hard"], z > 0.5)
    np.testing.assert_array_equal(posterior["k_hard"], np.eye(3)[k.argmax(-1)])
    assert np.all((z > 0) & (z < 1))
    assert np.all((c >= 0) & (c <= 24))
    assert np.corrcoef(c.ravel(), posterior["c_hard"].values.ravel())[0, 1] > 0.9
    # What lies downstream is that of the hardened values.
    w, c, z, _ = drawn(data)
    np.testing.assert_allclose(posterior["mean"], 2 * z + w[..., None] + 0.1 * c[..., None], 1e-5)


@both
def test_predictions_and_the_prior(name):
    _, data = fit(name)
    w, c, z, _ = drawn(data)
    noise = data["posterior_predictive"]["y"].values - (2 * z + w[..., None] + 0.1 * c[..., None])
    assert abs(noise.mean()) < 4.5 / noise.size**0.5
    assert abs(noise.std() - 1) < 4.5 / (2 * noise.size) ** 0.5
    prior, again = data["prior"], data["prior_predictive"]["y"].values
    assert prior["z"].shape == (1, 400, 5)
    assert set(np.unique(prior["z"])) == {0, 1}
    assert abs(prior["z"].values.mean() - 0.3) < 4.5 * (0.21 / 2000) ** 0.5
    assert abs(prior["c"].values.mean() - 1.2) < 4.5 * (1.2 / 400) ** 0.5
    noise = again - prior["mean"].values
    assert abs(noise.std() - 1) < 4.5 / (2 * noise.size) ** 0.5


@both
def test_names_labels_and_origin(name):
    host, data = fit(name)
    assert names_of(data) == GROUPS
    assert data["posterior"]["z"].dims == ("chain", "draw", "data")
    assert data["posterior"]["k_hard"].dims == ("chain", "draw", "slot", "class")
    assert data["posterior"]["mean"].dims == ("chain", "draw", "data")
    assert data["observed_data"]["y"].dims == ("data",)
    assert list(data["log_likelihood"]["data"].values) == cases.LABELS
    np.testing.assert_array_equal(data["observed_data"]["y"], cases.Y)
    assert list(data["constant_data"].data_vars) == ["x"]
    attrs = data["posterior"].attrs
    assert attrs["host"] == host.name
    assert attrs["estimator"] == "Trace_ELBO"
    assert json.loads(attrs["relaxation"])["z"] == "RelaxedBernoulli"
    assert json.loads(attrs["temperature"]) == dict.fromkeys("zkc", cases.TEMPERATURE)
    assert json.loads(attrs["versions"])["arviz"] == az.__version__
    assert attrs["inference_library_version"] == host.lib.__version__


@both
def test_arviz_summarises_plots_and_compares(name, recwarn):
    _, data = fit(name)
    few = ["w", "z_hard", "k"]
    summary = az.summary(data, var_names=few, round_to="none")
    means = [data["posterior"][v].values.mean((0, 1)).ravel() for v in few]
    np.testing.assert_allclose(summary["mean"].to_numpy(float), np.concatenate(means), rtol=1e-5)
    az.plot_trace(data, var_names=["w"])
    az.plot_dist(
        data["posterior"]["z_hard"] if OLD else data, **({} if OLD else {"var_names": ["w"]})
    )
    loo = az.loo(data)
    assert np.isfinite(loo["elpd_loo"] if OLD else loo.elpd)
    assert len(az.compare({"one": data, "two": data})) == 2
    import matplotlib.pyplot as plt

    plt.close("all")


@both
@pytest.mark.parametrize("form", ["netcdf", "zarr"])
def test_reads_back_what_it_wrote(name, form, tmp_path):
    _, data = fit(name)
    path = str(tmp_path / form)
    getattr(data, f"to_{form}")(path)
    again = getattr(az, f"from_{form}")(path)
    assert names_of(again) == GROUPS
    for group in GROUPS:
        assert set(again[group].data_vars) == set(data[group].data_vars)
        for variable, values in data[group].data_vars.items():
            assert again[group][variable].dims == values.dims
            assert again[group][variable].dtype == values.dtype
            np.testing.assert_array_equal(again[group][variable], values)
        for dim, labels in data[group].coords.items():
            np.testing.assert_array_equal(again[group][dim], labels)
        assert again[group].attrs == data[group].attrs
    again.close()


@both
def test_discrete_and_continuous_sites_without_relax(name):
    host = cases.host_of(name)
    loss = host.rx.REBAR_ELBO(temperature=0.7)
    svi = host.svi(*cases.programs(host), loss)
    data = host.to_arviz(
        svi, cases.params_of(host), host.array(cases.X), y=host.array(cases.Y), num_draws=50
    )
    posterior = data["posterior"]
    draws = [posterior[site].values for site in "wczk"]
    assert {posterior[s].dtype.kind for s in "czk"} == {"i"}
    assert not [v for v in posterior.data_vars if str(v).endswith("_hard")]
    np.testing.assert_allclose(data["sample_stats"]["log_p"], cases.log_p(*draws), rtol=1e-5)
    np.testing.assert_allclose(data["sample_stats"]["log_q"], cases.log_q(*draws), rtol=1e-5)
    assert posterior.attrs["estimator"] == "REBAR_ELBO"
    assert json.loads(posterior.attrs["temperature"])["z"] == 0.7
    assert names_of(data) == GROUPS - {"prior", "prior_predictive"}


@both
def test_a_program_written_relaxed_runs_as_written(name):
    host = cases.host_of(name)

    def program(observed):
        def body():
            law = host.rx.RelaxedBernoulli(0.5, logits=host.array(np.array([0.2, -0.4])))
            with host.plate("two", 2):
                z = host.sample("z", law)
                if observed:
                    host.sample("y", host.dist.Normal(z, 1.0), obs=host.array(np.ones(2)))

        return body

    data = host.to_arviz(program(True), program(False), {}, num_draws=20, log_likelihood=False)
    z = data["posterior"]["z"].values
    np.testing.assert_array_equal(data["posterior"]["z_hard"], z > 0.5)
    likelihood = -0.5 * (1 - z) ** 2 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(data["sample_stats"]["log_weight"], likelihood.sum(-1), atol=1e-5)
    attrs = data["posterior"].attrs
    assert "relaxed" in attrs["program"]
    assert json.loads(attrs["temperature"]) == {"z": 0.5}
