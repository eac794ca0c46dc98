"""How sure is a network of a digit? A Dirichlet for each image, by the Laplace bridge, in Pyro.

The weights of a network's last layer get a Gaussian by Laplace's approximation, so that an image
has a Gaussian over its ten logits. The inverse bridge turns it into a Dirichlet over the classes,
by a formula and without draws.

    python -m models.pyro.laplace_bridge
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
import xarray as xr
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoLaplaceApproximation, init_to_value
from scipy.special import softmax

import relaxppl.pyro as rx
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
    x, y = torch.tensor(features), torch.tensor(labels)

    def model() -> None:
        prior = dist.Normal(torch.zeros(start.shape), prior_scale).to_event(2)
        weight = pyro.sample("weight", prior)
        with pyro.plate("data", len(x)):
            pyro.sample("label", dist.Categorical(logits=x @ weight), obs=y)

    pyro.clear_param_store()
    begin = init_to_value(values={"weight": torch.tensor(start)})
    guide = AutoLaplaceApproximation(model, init_loc_fn=begin)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
    rx.fit(svi, steps, progress=False)
    posterior = guide.laplace_approximation().get_posterior()
    return posterior.mean.detach().numpy(), posterior.covariance_matrix.detach().numpy()


def dirichlet_of(loc: Any, cov: Any) -> Any:
    """The Dirichlet to which the softmax of a Gaussian is bridged."""
    return rx.laplace_bridge_inverse(rx.LogisticNormalSoftmax(loc, covariance_matrix=cov))


def run(options: Any, command: str) -> None:
    """Train a network and its last layer's Gaussian, and predict noisy digits held out."""
    layer = train_network(options.seed, options.hidden, 400)
    given = layer.features, layer.labels, layer.weight, options.prior_scale, options.steps
    features, labels = layer.tests["noisy"]
    mean, covariance = logit_gaussian(features, *last_layer_gaussian(*given))
    pyro.set_rng_seed(options.seed)
    dirichlet = dirichlet_of(torch.tensor(mean), torch.tensor(covariance))
    mode = softmax(mean, axis=1)
    found = {"softmax of the mean": mode, "Laplace bridge": dirichlet.mean.numpy()}
    table = {name: scores(probs, labels) for name, probs in found.items()}
    draws = np.asarray(dirichlet.sample((200,)).numpy())

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


main = Program("pyro.laplace_bridge", __doc__, run, needs=("sklearn", "xarray", "h5netcdf"))
main.add("--hidden", type=positive_int, default=32, help="units of the network")
main.add("--prior-scale", type=positive_float, default=1.0, help="of the last layer's weights")
main.add("--steps", type=positive_int, default=2000, help="of Adam, to the mode")

if __name__ == "__main__":
    sys.exit(main())
