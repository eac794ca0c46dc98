"""How sure is a network of a digit? A Dirichlet for each image, by the Laplace bridge, in NumPyro.

The weights of a network's last layer get a Gaussian by Laplace's approximation, so that an image
has a Gaussian over its ten logits. The inverse bridge turns it into a Dirichlet over the classes,
by a formula and without draws.

    python -m models.numpyro.laplace_bridge
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import xarray as xr
from numpyro.infer import SVI, Trace_ELBO, init_to_value
from numpyro.infer.autoguide import AutoLaplaceApproximation
from scipy.special import softmax

import relaxppl.numpyro as rx
from models.common.cli import positive_float, positive_int
from models.common.figures import new_figure
from models.common.last_layer import logit_gaussian, reliability_curves, scores, train_network
from models.common.program import Program, finish

Array = np.ndarray


def last_layer_gaussian(
    features: Array,
    labels: Array,
    start: Array,
    prior_scale: float,
    steps: int,
) -> tuple[Array, Array]:
    """Laplace's approximation to the posterior of a last layer.

    :param features: what the layer reads, (n, D).
    :param labels: (n,).
    :param start: its weights to begin at, (D, K).
    :param prior_scale: of the weights' normal prior.
    :param steps: optimiser steps to the mode.
    :returns: the mean, (D * K,), and the covariance.
    """
    x, y = jnp.asarray(features), jnp.asarray(labels)

    def model() -> None:
        prior = dist.Normal(0.0, prior_scale).expand(start.shape).to_event(2)
        weight = numpyro.sample("weight", prior)
        with numpyro.plate("data", len(x)):
            numpyro.sample("label", dist.Categorical(logits=x @ weight), obs=y)

    begin = init_to_value(values={"weight": jnp.asarray(start)})
    guide = AutoLaplaceApproximation(model, init_loc_fn=begin)
    svi = SVI(model, guide, numpyro.optim.Adam(0.01), Trace_ELBO())
    params = rx.fit(svi, jax.random.key(0), steps, progress=False).params
    posterior = guide.get_posterior(params)
    return np.asarray(posterior.loc), np.asarray(posterior.covariance_matrix)


def dirichlet_of(loc: Any, cov: Any) -> Any:
    """The Dirichlet to which the softmax of a Gaussian is bridged."""
    return rx.laplace_bridge_inverse(rx.LogisticNormalSoftmax(loc, covariance_matrix=cov))


def run(options: Any, command: str) -> None:
    """Train a network and its last layer's Gaussian, and predict noisy digits held out."""
    layer = train_network(options.seed, options.hidden, 400)
    given = layer.features, layer.labels, layer.weight, options.prior_scale, options.steps
    features, labels = layer.tests["noisy"]
    mean, covariance = logit_gaussian(features, *last_layer_gaussian(*given))
    dirichlet = dirichlet_of(jnp.asarray(mean), jnp.asarray(covariance))
    mode = softmax(mean, axis=1)
    found = {"softmax of the mean": mode, "Laplace bridge": np.asarray(dirichlet.mean)}
    table = {name: scores(probs, labels) for name, probs in found.items()}
    draws = np.asarray(dirichlet.sample(jax.random.key(options.seed), (200,)))

    def draw(path: Any) -> None:
        figure = new_figure(4.6, 4.0)
        reliability_curves(figure.subplots(), {name: (p, labels) for name, p in found.items()})
        figure.savefig(path, dpi=130)

    def posterior(path: Any) -> None:
        probs = xr.Dataset({"probs": (("chain", "draw", "image", "digit"), draws[None])})
        probs.to_netcdf(path, group="posterior", engine="h5netcdf")

    lines = [
        f"{name:<20} accuracy {s['accuracy']:.3f}  NLL {s['nll']:.3f}  ECE {s['ece']:.3f}"
        for name, s in table.items()
    ]
    pictures = {"reliability.png": draw, "posterior.nc": posterior}
    finish(options, command, {"noisy_digits": table}, pictures, lines)


main = Program("numpyro.laplace_bridge", __doc__, run, needs=("sklearn", "xarray", "h5netcdf"))
main.add("--hidden", type=positive_int, default=32, help="units of the network")
main.add("--prior-scale", type=positive_float, default=1.0, help="of the last layer's weights")
main.add("--steps", type=positive_int, default=2000, help="of Adam, to the mode")

if __name__ == "__main__":
    sys.exit(main())
