"""A discrete autoencoder with one temperature for the values and one for the gradient, in Pyro.

Images of digits go through a code of eight variables with eight classes each. The forward
temperature sharpens the law of the code, the backward one smooths the gradient; only the
reconstruction counts. Seeds, and in the study temperatures too, train side by side.

    python -m models.pyro.decoupled_straight_through
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
from scipy.special import expit

import relaxppl.pyro as rx
from models.common.cli import positive_float, positive_int
from models.common.figures import image_rows
from models.common.program import Program, finish
from models.common.side_by_side import BATCH, CLASSES, CODE, LATENTS, Runs
from models.data import small_digits

SHOWN = 12


class Autoencoder:
    """Images (n, 64) through a code, for many runs side by side, each an element of one plate."""

    def __init__(self, runs: Runs, images: np.ndarray) -> None:
        self.count = len(runs)
        self.initial = {name: torch.tensor(w) for name, w in runs.weights().items()}
        self.forward, self.backward = (torch.tensor(t) for t in runs.temperatures())
        self.images = torch.tensor(images)

    def code(self, logits: Any) -> Any:
        """The law of codes, logits (runs, n, LATENTS, CLASSES)."""
        law = rx.DecoupledStraightThroughGumbelSoftmax(
            self.forward, self.backward, logits=logits, scale_logits=True
        )
        return law.to_event(1)

    def encode(self, images: Any, encoder: Any) -> Any:
        """Logits of the codes of images (n, PIXELS)."""
        flat = torch.einsum("nd,rdk->rnk", images, encoder)
        return flat.reshape(self.count, len(images), LATENTS, CLASSES)

    def decode(self, code: Any, decoder: Any, bias: Any) -> Any:
        """Logits of the pixels, (runs, n, PIXELS)."""
        flat = code.reshape(self.count, -1, CODE)
        return torch.einsum("rnk,rkd->rnd", flat, decoder) + bias[:, None]

    def model(self) -> None:
        """Pixels of a batch; the codes carry no price (masked)."""
        decoder = [pyro.param(name, self.initial[name]) for name in ("decoder", "bias")]
        uniform = torch.zeros(self.count, 1, LATENTS, CLASSES)
        with pyro.plate("runs", self.count, dim=-2), self.batch() as index:
            code = pyro.sample("code", self.code(uniform).mask(False))
            pixels = dist.Bernoulli(logits=self.decode(code, *decoder)).to_event(1)
            pyro.sample("pixels", pixels, obs=self.images[index])

    def guide(self) -> None:
        """The codes."""
        encoder = pyro.param("encoder", self.initial["encoder"])
        with pyro.plate("runs", self.count, dim=-2), self.batch() as index:
            logits = self.encode(self.images[index], encoder)
            pyro.sample("code", self.code(logits).mask(False))

    def batch(self) -> Any:
        """The images of a step."""
        return pyro.plate("images", len(self.images), subsample_size=BATCH, dim=-1)


def train(options: Any, runs: Runs, images: Any) -> tuple[Autoencoder, Any]:
    """Every run's network and its parameters, trained on images (n, 64)."""
    # Runs share no parameter and Adam works element by element: each trains as if alone.
    pyro.clear_param_store()
    pyro.set_rng_seed(options.seed)
    net = Autoencoder(runs, images)
    svi = SVI(net.model, net.guide, pyro.optim.Adam({"lr": options.learning_rate}), Trace_ELBO())
    rx.fit(svi, options.steps, progress=not options.quiet)
    return net, {name: value.detach() for name, value in pyro.get_param_store().items()}


def reconstruct(net: Autoencoder, params: Any, images: Any) -> tuple[Any, Any, Any]:
    """Codes drawn as in training, logits of the pixels, and nats per image of each run."""
    code = net.code(net.encode(images, params["encoder"])).sample()
    logits = net.decode(code, params["decoder"], params["bias"])
    return code, logits, -dist.Bernoulli(logits=logits).log_prob(images).sum(-1).mean(-1)


def judge(options: Any, net: Autoencoder, params: Any, images: Any) -> np.ndarray:
    """Nats per image of each run, over twenty draws of the code."""
    given = torch.tensor(images)
    losses = [reconstruct(net, params, given)[2].numpy() for _ in range(20)]
    return np.mean(losses, 0, dtype=float)


def run(options: Any, command: str) -> None:
    """Train, and reconstruct images held out."""
    images, seeds = small_digits(), list(range(options.seed, options.seed + options.seeds))
    pair = options.forward, options.backward
    net, params = train(options, Runs([pair], seeds), images.train)
    losses = judge(options, net, params, images.test)
    shown = images.test[:SHOWN]
    draws = [reconstruct(net, params, torch.tensor(shown)) for _ in range(100)]
    code, logits = (torch.stack([draw[part] for draw in draws]) for part in (0, 1))
    rows = {"held out": shown, "reconstructed": expit(np.asarray(logits[:, 0])).mean(0)}
    names = "chain", "draw", "seed", "image", "latent", "class"

    def posterior(path: Any) -> None:
        codes = xr.Dataset({"code": (names, np.asarray(code, np.int8)[None])})
        codes.to_netcdf(path, group="posterior", engine="h5netcdf")

    title = f"Temperatures {pair}"
    pictures = {"digits.png": lambda path: image_rows(path, rows, title, side=8)}
    finish(
        options,
        command,
        {"test_loss": losses},
        pictures | {"posterior.nc": posterior},
        [f"reconstruction  {losses.mean():.3f} nats an image, mean of {len(losses)} seeds"],
    )


main = Program(
    "pyro.decoupled_straight_through", __doc__, run, needs=("sklearn", "xarray", "h5netcdf")
)
main.add("--forward", type=positive_float, default=0.25, help="temperature of the values")
main.add("--backward", type=positive_float, default=2.0, help="temperature of the gradient")
main.add("--seeds", type=positive_int, default=3, help="how many, side by side")
main.add("--steps", type=positive_int, default=1000, help="of Adam")
main.add("--learning-rate", type=positive_float, default=0.01, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
