"""What to_arviz refuses and what it does with unusual programs; the fit's k-hat; memory."""

from __future__ import annotations

import sys
import tracemalloc
from types import SimpleNamespace

import arviz as az
import numpy as np
import pytest

from relaxppl.common.arviz import pareto_k
from relaxppl.common.arviz.draws import collect
from relaxppl.common.arviz.labels import Dims, Labels
from relaxppl.common.arviz.request import Request
from relaxppl.common.arviz.tree import build
from tests.common.arviz import arviz_cases as cases
from tests.common.arviz.arviz_cases import both


def refused(name, match, error=ValueError, params=None, programs=None, **options):
    host = cases.host_of(name)
    model, guide = programs or cases.programs(host)
    params = cases.params_of(host) if params is None else params
    with pytest.raises(error, match=match):
        host.to_arviz(model, guide, params, host.array(cases.X), host.array(cases.Y), **options)


@both
@pytest.mark.parametrize("draws", [0, -3])
def test_number_of_draws(name, draws):
    refused(name, f"num_draws must be at least 1, got {draws}", num_draws=draws)
    refused(name, f"prior must be at least 1, got {draws}", prior=draws)


@both
def test_arguments_of_another_kind(name):
    host = cases.host_of(name)
    refused(name, "num_draws must be a whole number", TypeError, num_draws=2.5)
    with pytest.raises(TypeError, match=r"takes \(svi, result, \*args\) or"):
        host.to_arviz(cases.programs(host)[0])
    with pytest.raises(TypeError, match="parameters must be what"):
        host.to_arviz(host.svi(*cases.programs(host)), 3.0)


@both
def test_parameters_that_do_not_fit(name):
    params = cases.params_of(cases.host_of(name))
    missing = {key: value for key, value in params.items() if key != "z_logits"}
    refused(name, "'z_logits' of the model or the guide is not among those given", params=missing)
    wrong = params | {"z_logits": params["z_logits"][:4]}
    refused(name, r"'z_logits' has shape .*4.* declares it with .*5", params=wrong)


@both
def test_a_guide_without_a_latent_site(name):
    host = cases.host_of(name)

    def guide(x, y):
        host.sample("w", host.dist.Normal(host.array(0.0), 0.5))

    both_programs = (cases.programs(host)[0], guide)
    refused(name, "the guide has no site 'c', 'k', 'z'", programs=both_programs)


@both
def test_labels_that_fit_nothing(name):
    refused(name, "dims names 'nothing'; the variables are: c, k, mean", dims={"nothing": ["a"]})
    sizes = {"num_draws": 2, "batch_size": 2}
    refused(name, "labels of shape .2,., but its size is 5", coords={"data": ["a", "b"]}, **sizes)


def test_labels():
    sites = {"z": Dims(1, {-1: "data"}), "a/b": Dims(), "data": Dims()}
    labels = Labels(sites, sites, {"a/b": ["row", "column"]}, {"nowhere": [1]})
    assert labels.of("z", "z", (5, 2)) == ("data_dim", "z_dim_0")
    assert labels.of("a/b", "a/b", (3, 4)) == ("row", "column")
    with pytest.raises(ValueError, match=r"names \['row', 'column'\], but it has shape \(3,\)"):
        labels.of("a/b", "a/b", (3,))
    with pytest.raises(ValueError, match="coords names 'nowhere'; the dimensions are: column"):
        labels.check_coords_used()
    with pytest.raises(ValueError, match=r"'a/b' and 'a\.b' would both"):
        Labels({}, ["a/b", "a.b"], {}, {})


def test_a_log_likelihood_leaves_the_names_of_the_event_out():
    sites = {"answer": Dims(1, {-1: "person"}, event_rank=1), "loose": Dims(1, {}, event_rank=1)}
    labels = Labels(sites, sites, {"answer": ["item"], "loose": ["row", "item"]}, {"item": "abc"})
    assert labels.of("answer", "answer", (5, 3)) == ("person", "item")
    assert labels.of("answer", "answer", (5,)) == ("person",)
    assert labels.of("loose", "loose", (5, 3)) == ("row", "item")
    assert labels.of("loose", "loose", (5,)) == ("row",)


@both
def test_arviz_not_installed(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    refused(name, r'pip install "relaxppl\[arviz\]"', ImportError)


def softmax_of_normals(host, logits):
    """Draws of a class, relaxed to the softmax of normal variables about its logits."""

    def softmax(d, t):
        return host.rx.LogisticNormalSoftmax(d.logits, scale=host.array(np.ones(3)))

    def body():
        host.sample("k", host.rx.OneHotCategorical(logits=host.array(logits)))

    program = host.rx.relax(body, temperature=0.5, config={"k": softmax})
    return host.to_arviz(program, program, {}, num_draws=4)


@both
def test_weights_of_any_class_whose_hardened_draws_have_the_discrete_law(name):
    """Equal locations and scales make the classes equally likely."""
    data = softmax_of_normals(cases.host_of(name), np.zeros(3))
    np.testing.assert_allclose(data["sample_stats"]["log_q"], np.log(1 / 3), rtol=1e-12)
    np.testing.assert_array_equal(data["sample_stats"]["log_weight"], np.zeros((1, 4)))


@both
def test_no_weights_where_the_law_of_hardened_draws_is_not_known(name):
    data = softmax_of_normals(cases.host_of(name), np.array([0.0, 0.5, -1.0]))
    assert list(data["sample_stats"].data_vars) == ["log_p"]
    with pytest.raises(ValueError, match="no log_weight: the hardened draws of LogisticNormal"):
        pareto_k(data)


def fitted(log_weight):
    groups = {"sample_stats": {"log_weight": np.asarray(log_weight)[None]}}
    return build(groups, {}, Labels({}, [], {}, {}), {})


def test_pareto_k_of_a_known_tail():
    uniform = np.random.default_rng(0).random(20_000)
    # U ** -k has a Pareto tail of shape k; its reciprocal is bounded.
    assert pareto_k(fitted(-0.6 * np.log(uniform))) == pytest.approx(0.6, abs=0.1)
    assert pareto_k(fitted(-0.2 * np.log(uniform))) == pytest.approx(0.2, abs=0.1)
    assert pareto_k(fitted(np.log(uniform))) < 0
    assert pareto_k(fitted(np.full(100, -3.5))) == float("-inf")
    # A bit whose likelier value has the larger weight, and one whose rarer value has it.
    assert pareto_k(fitted(np.where(uniform < 0.9, -1.0, -4.0))) == float("-inf")
    assert pareto_k(fitted(np.where(uniform < 1e-4, 4.0, -1.0))) == float("inf")


def test_a_batch_more_is_all_the_memory_that_is_used():
    draws, size, width = 4000, 100, 500

    def batch(start):
        return {"posterior": {"z": np.full((size, width), start, np.float32)}}

    tracemalloc.start()
    made = collect(draws, size, batch)["posterior"]["z"]
    data = build({"posterior": {"z": made}}, {}, Labels({}, ["z"], {}, {}), {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert data["posterior"]["z"].shape == (1, draws, width)
    np.testing.assert_array_equal(made[0, :, 0], np.repeat(np.arange(0, draws, size), size))
    assert np.shares_memory(data["posterior"]["z"].values, made)
    assert peak < 1.25 * made.nbytes


def test_a_last_batch_that_is_shorter():
    def batch(start):
        return {"g": {"v": np.arange(start, start + 4)}}

    np.testing.assert_array_equal(collect(10, 4, batch)["g"]["v"], [np.arange(10)])


def test_the_prior_as_often_as_the_guide():
    assert [Request(7, prior=p).prior_draws for p in (False, True, 3)] == [0, 7, 3]


@pytest.mark.parametrize("version", ["0.23.4", "1.3.0"])
def test_the_version_decides_the_line(version):
    from relaxppl.common.arviz.tree import is_inference_data

    assert is_inference_data(SimpleNamespace(__version__=version)) == version.startswith("0")
    kind = type(fitted(np.arange(9.0))).__name__
    assert kind == ("InferenceData" if az.__version__.startswith("0") else "DataTree")
