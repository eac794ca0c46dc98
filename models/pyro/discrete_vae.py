"""A variational autoencoder with binary codes for handwritten digits, in Pyro.

The code of an image is 200 fair coins, and a network turns them into pixels. Another network reads
the probabilities of the coins off an image. The model stays discrete: what stands between the coins
and a gradient is the loss alone, and ``--method`` chooses it.

    python -m models.pyro.discrete_vae
"""

from __future__ import annotations

import sys
import time
from typing import Any

import arviz as az
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, TraceMeanField_ELBO
from torch import nn

import relaxppl.pyro as rx
from models.common.cli import positive_int
from models.common.figures import image_rows
from models.common.program import Program, finish
from models.data import baseline_bound, load_digits, pixel_logits

PIXELS, CODES, BATCH, SHOWN = 784, 200, 100, 12


def network(inputs: int, outputs: int) -> nn.Sequential:
    """One hidden layer of 200 tanh units."""
    return nn.Sequential(nn.Linear(inputs, 200), nn.Tanh(), nn.Linear(200, outputs))


def coins(logits: torch.Tensor) -> Any:
    """The law of a code."""
    return dist.Bernoulli(logits=logits).to_event(1)


def programs(images: np.ndarray, seed: int) -> tuple[Any, Any]:
    """The model and the guide; both may be given the law of another code, of as many numbers.

    :param images: those to train on, shape (n, 784): the pixels' first bias is their mean.
    :param seed: of the networks' first weights, and of all that follows.
    """
    pyro.set_rng_seed(seed)
    pyro.clear_param_store()
    encoder, decoder = network(PIXELS, CODES), network(CODES, PIXELS)
    with torch.no_grad():
        decoder[-1].bias.copy_(torch.as_tensor(pixel_logits(images)))

    def model(images: torch.Tensor, batch: int | None = BATCH, law: Any = coins) -> None:
        pyro.module("decoder", decoder)
        prior = law(torch.zeros(CODES))
        with pyro.plate("image", len(images), subsample_size=batch) as rows:
            code = pyro.sample("code", prior)
            logits = decoder(code.flatten(-prior.event_dim))
            pyro.deterministic("probs", logits.sigmoid(), event_dim=1)
            pyro.sample("pixels", dist.Bernoulli(logits=logits).to_event(1), obs=images[rows])

    def guide(images: torch.Tensor, batch: int | None = BATCH, law: Any = coins) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("image", len(images), subsample_size=batch) as rows:
            pyro.sample("code", law(encoder(images[rows])))

    return model, guide


def train(options: Any, loss: Any, model: Any, guide: Any, images: Any) -> tuple[Any, float]:
    """Returns the trained parameters and the seconds that it took."""
    svi = SVI(model, guide, rx.count_steps(pyro.optim.Adam({"lr": 2e-3})), loss)
    began = time.perf_counter()
    rx.fit(svi, options.steps, torch.as_tensor(images), progress=not options.quiet)
    return dict(pyro.get_param_store().items()), time.perf_counter() - began


def judge(options: Any, model: Any, guide: Any, params: Any, images: Any) -> tuple[float, Any]:
    """Returns the discrete program's bound an image, and draws for the first images."""
    # The parameters are those of the store.
    given, test = (model, guide, None), torch.as_tensor(images)
    bound = rx.discrete_elbo(*given, test, None, num_particles=20)
    data = rx.to_arviz(*given, test[:SHOWN], None, num_draws=100, prior=True)
    return bound / len(test), data


def run(options: Any, command: str) -> None:
    """Train, then say how good the discrete model is on images held out."""
    digits = load_digits(held_out=500)
    model, guide = programs(digits.train, options.seed)
    chosen = method(options, model, guide, torch.as_tensor(digits.train))
    params, seconds = train(options, *chosen, digits.train)
    bound, data = judge(options, model, guide, params, digits.test)
    baseline = baseline_bound(digits.train, digits.test)
    metrics = {"discrete_test_bound": bound, "baseline": baseline, "seconds": seconds}
    lines = [
        f"discrete test bound  {bound:.2f} nats an image",
        f"independent pixels   {baseline:.2f} nats an image",
        str(az.summary(data, var_names=["code"], kind="stats").head()),
    ]
    picture = {"digits.png": lambda path: draw(path, digits.test, data)}
    finish(options, command, metrics, picture | {"posterior.nc": data.to_netcdf}, lines)


def method(options: Any, model: Any, guide: Any, images: torch.Tensor) -> tuple[Any, Any, Any]:
    """The loss that trains, and the programs to train with it."""
    if options.method == "relax":
        return TraceMeanField_ELBO(), *(rx.relax(f, temperature=0.5) for f in (model, guide))
    if options.method == "recommend":
        found = rx.recommend(model, guide, images)
        print(found)
        return found.loss, found.model, found.guide
    if options.method == "disarm":
        return rx.DisARM_ELBO(), model, guide
    # Biased while noise is what holds training back; unbiased for the last third.
    elbo = rx.REBAR_ELBO(debias=rx.LinearSchedule(0.0, 1.0, max(1, 2 * options.steps // 3)))
    return elbo, model, elbo.prepare(guide)


def draw(path: Any, images: np.ndarray, data: Any) -> None:
    """Images, what their codes say of them, and new ones."""
    probs = data["posterior"]["probs"].values.mean((0, 1))
    new = data["prior"]["probs"].values[0, :SHOWN, 0]
    rows = {"held out": images[:SHOWN], "reconstructed": probs, "new": new}
    image_rows(path, rows, "A discrete VAE in Pyro")


METHODS = ("rebar", "disarm", "relax", "recommend")
main = Program("pyro.discrete_vae", __doc__, run, needs=("mlxtend",))
main.add("--method", choices=METHODS, default="rebar", help="what trains it")
main.add("--steps", type=positive_int, default=3000, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
