"""A variational autoencoder with binary codes for handwritten digits, in Pyro.

The code of an image is 200 fair coins, and a network turns them into pixels. Another network reads
the probabilities of the coins off an image. The model stays discrete: what stands between the coins
and a gradient is the loss alone, and ``--method`` chooses it.

    python -m models.pyro.discrete_vae
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
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
from models.common.program import build_parser, finish, start
from models.data import baseline_bound, load_digits, pixel_logits

PIXELS, CODES, BATCH, SHOWN = 784, 200, 100, 12


def network(inputs: int, outputs: int) -> nn.Sequential:
    """One hidden layer of 200 tanh units."""
    return nn.Sequential(nn.Linear(inputs, 200), nn.Tanh(), nn.Linear(200, outputs))


def programs(images: np.ndarray) -> tuple[Any, Any]:
    """The model and the guide.

    :param images: those to train on, shape (n, 784): the pixels' first bias is their mean.
    """
    encoder, decoder = network(PIXELS, CODES), network(CODES, PIXELS)
    with torch.no_grad():
        decoder[-1].bias.copy_(torch.as_tensor(pixel_logits(images)))

    def model(images: torch.Tensor, batch: int | None = BATCH) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("image", len(images), subsample_size=batch) as rows:
            code = pyro.sample("code", dist.Bernoulli(0.5 * torch.ones(CODES)).to_event(1))
            logits = decoder(code)
            pyro.deterministic("probs", logits.sigmoid(), event_dim=1)
            pixels = dist.Bernoulli(logits=logits).to_event(1)
            pyro.sample("pixels", pixels, obs=images[rows])

    def guide(images: torch.Tensor, batch: int | None = BATCH) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("image", len(images), subsample_size=batch) as rows:
            logits = encoder(images[rows])
            pyro.sample("code", dist.Bernoulli(logits=logits).to_event(1))

    return model, guide


def run(options: Any, command: str) -> None:
    """Train, then say how good the discrete model is on images held out."""
    digits = load_digits(held_out=500)
    train, test = torch.as_tensor(digits.train), torch.as_tensor(digits.test)
    pyro.set_rng_seed(options.seed)
    pyro.clear_param_store()
    model, guide = programs(digits.train)
    loss, trained_model, trained_guide = method(options, model, guide, train)

    optimiser = rx.count_steps(pyro.optim.Adam({"lr": 2e-3}))
    svi = SVI(trained_model, trained_guide, optimiser, loss)
    began = time.perf_counter()
    rx.fit(svi, options.steps, train, progress=not options.quiet)
    seconds = time.perf_counter() - began

    # Of the discrete program, whatever it was trained through.
    bound = rx.discrete_elbo(model, guide, None, test, None, num_particles=20) / len(test)
    baseline = baseline_bound(digits.train, digits.test)
    data = rx.to_arviz(model, guide, None, test[:SHOWN], None, num_draws=100, prior=True)
    finish(
        options,
        command,
        {"discrete_test_bound": bound, "baseline": baseline, "seconds": seconds},
        {"digits.png": lambda path: draw(path, digits.test, data), "posterior.nc": data.to_netcdf},
        [
            f"discrete test bound  {bound:.2f} nats an image",
            f"independent pixels   {baseline:.2f} nats an image",
            str(az.summary(data, var_names=["code"], kind="stats").head()),
        ],
    )


def method(options: Any, model: Any, guide: Any, images: torch.Tensor) -> tuple[Any, Any, Any]:
    """The loss that trains, and the programs to train with it."""
    if options.method == "straight-through":
        relaxed = (rx.relax(program, temperature=0.5) for program in (model, guide))
        return TraceMeanField_ELBO(), *relaxed
    if options.method == "recommend":
        found = rx.recommend(model, guide, images)
        print(found)
        return found.loss, found.model, found.guide
    if options.method == "disarm":
        return rx.DisARM_ELBO(), model, guide
    # Biased while noise is what holds training back; unbiased for the last third.
    debias = rx.LinearSchedule(0.0, 1.0, max(1, 2 * options.steps // 3))
    elbo = rx.REBAR_ELBO(debias=debias)
    return elbo, model, elbo.prepare(guide)


def draw(path: Any, images: np.ndarray, data: Any) -> None:
    """Images, what their codes say of them, and new ones."""
    probs = data["posterior"]["probs"].values.mean((0, 1))
    new = data["prior"]["probs"].values[0, :SHOWN, 0]
    rows = {"held out": images[:SHOWN], "reconstructed": probs, "new": new}
    image_rows(path, rows, "A discrete VAE in Pyro")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = build_parser("pyro.discrete_vae", __doc__.splitlines()[0], backend="pyro")
    methods = ("rebar", "disarm", "straight-through", "recommend")
    parser.add_argument("--method", choices=methods, default="rebar", help="what trains it")
    parser.add_argument("--steps", type=positive_int, default=3000, help="of Adam")
    return start(parser, argv, lambda options, _, command: run(options, command), ("mlxtend",))


if __name__ == "__main__":
    sys.exit(main())
