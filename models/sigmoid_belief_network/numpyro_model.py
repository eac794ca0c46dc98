"""The model, its guide and their training in NumPyro; pyro_model.py mirrors this file."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import lax, random
from numpy.typing import NDArray
from numpyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO

import relaxppl.numpyro as rx
from models.common.networks import Weights
from models.sigmoid_belief_network.estimators import Choice, build
from models.sigmoid_belief_network.result import LATENTS, Settings, initial_weights


def network(weights: Weights, x: Any) -> Any:
    """A linear map, or one with a hidden layer of tanh units."""
    first = x @ weights["w1"] + weights["b1"]
    return jnp.tanh(first) @ weights["w2"] + weights["b2"] if "w2" in weights else first


class SigmoidBeliefNetwork:
    """Binary images from layers of binary codes, and a guide that reads the codes off an image.

    Args:
        weights: initial weights, as initial_weights makes them.
        layers: stochastic layers.
        batch_size: images in a subsample; None takes all.
        temperature: of straight-through codes; None for the discrete model.
        show_image: whether the estimator's networks read the image.
        probed: whether the guide adds parameters "probe{k}", zeros, to the logits of each image.
    """

    def __init__(
        self,
        weights: dict[str, Weights],
        layers: int,
        batch_size: int | None = None,
        temperature: float | None = None,
        show_image: bool = False,
        probed: bool = False,
    ) -> None:
        self.weights = weights
        self.layers = layers
        self.batch_size = batch_size
        self.temperature = temperature
        self.show_image = show_image
        self.probed = probed

    def law(self, logits: Any) -> Any:
        """The law of a layer's code."""
        if self.temperature is None:
            return dist.Bernoulli(logits=logits).to_event(1)
        return rx.RelaxedBernoulliStraightThrough(self.temperature, logits=logits).to_event(1)

    def model(self, images: Any) -> None:
        """Codes from the top layer, uniform, down to the pixels; images (n, D)."""
        maps = {k: self.param(f"generate{k}") for k in range(1, self.layers + 1)}
        with numpyro.plate("images", len(images), subsample_size=self.batch_size) as index:
            logits = jnp.zeros((len(index), LATENTS))
            for layer in range(self.layers, 0, -1):
                code = numpyro.sample(f"code{layer}", self.law(logits)).astype(jnp.float32)
                logits = network(maps[layer], code)
            numpyro.sample("pixels", dist.Bernoulli(logits=logits).to_event(1), obs=images[index])

    def guide(self, images: Any) -> None:
        """Codes from the pixels up; images (n, D)."""
        maps = {k: self.param(f"infer{k}") for k in range(1, self.layers + 1)}
        with numpyro.plate("images", len(images), subsample_size=self.batch_size) as index:
            batch = code = images[index]
            for layer in range(1, self.layers + 1):
                logits = network(maps[layer], code)
                if self.probed:
                    logits = logits + numpyro.param(
                        f"probe{layer}", jnp.zeros((len(images), LATENTS))
                    )
                infer = {"estimator_input": batch} if self.show_image else None
                code = numpyro.sample(f"code{layer}", self.law(logits), infer=infer)
                code = code.astype(jnp.float32)

    def param(self, name: str) -> Any:
        """A map's weights as parameters."""
        return numpyro.param(name, self.weights[name])


class Trainer:
    """One estimator in training; see result.Trainer.

    Args:
        images: training images, (n, D).
        choice: the estimator.
        settings: everything else.
        seed: of the weights and of every draw.
    """

    chunk = 50

    def __init__(
        self, images: NDArray[np.float32], choice: Choice, settings: Settings, seed: int
    ) -> None:
        self.images = jnp.asarray(images)
        self.choice, self.settings = choice, settings
        self.weights = initial_weights(seed, images.shape[1], settings.layers, settings.linear)
        self.elbo = build(choice, rx, TraceGraph_ELBO)
        network = self.network(batch_size=settings.batch_size)
        guide = self.elbo.prepare(network.guide) if choice.row.prepared else network.guide
        self.svi = SVI(network.model, guide, numpyro.optim.Adam(settings.learning_rate), self.elbo)
        start, self.key = random.split(random.key(seed))
        self.state = self.svi.init(start, self.images)
        self.compiled: dict[int, Any] = {}

    def network(self, relaxed: bool = True, **options: Any) -> SigmoidBeliefNetwork:
        """The program as the estimator sees it, or with discrete codes."""
        row = self.choice.row
        return SigmoidBeliefNetwork(
            self.weights,
            self.settings.layers,
            temperature=self.choice.temperature if row.relaxed and relaxed else None,
            show_image=row.sees_image,
            **options,
        )

    def advance(self, steps: int) -> NDArray[np.floating]:
        """Take steps; returns their losses, the negative ELBO per training image."""
        if steps not in self.compiled:

            def several(state: Any, images: Any) -> Any:
                step = lambda s, _: self.svi.update(s, images)  # noqa: E731
                return lax.scan(step, state, None, length=steps)

            self.compiled[steps] = jax.jit(several)
        self.state, losses = self.compiled[steps](self.state, self.images)
        return np.asarray(losses) / len(self.images)

    def bound(self, images: NDArray[np.float32], passes: int) -> float:
        """The ELBO per image of the discrete model under the discrete guide."""
        network, elbo = self.network(relaxed=False), Trace_ELBO()
        params = self.svi.get_params(self.state)

        def one(key: Any) -> Any:
            return -elbo.loss(key, params, network.model, network.guide, jnp.asarray(images))

        keys = random.split(random.fold_in(self.key, 1), passes)
        return float(jax.jit(lambda k: lax.map(one, k))(keys).mean()) / len(images)

    def variance(self) -> float:
        """The gradient's variance in the logits of an image's codes, where training stands."""
        network = self.network(probed=True)
        images = self.images[: self.settings.variance_images]
        params = self.svi.get_params(self.state) | (self.state.mutable_state or {})
        probes = {
            f"probe{k}": jnp.zeros((len(images), LATENTS))
            for k in range(1, self.settings.layers + 1)
        }

        def loss(probes: dict[str, Any], key: Any) -> Any:
            return self.elbo.loss_with_mutable_state(
                key, params | probes, network.model, network.guide, images
            )["loss"]

        def add(sums: Any, key: Any) -> Any:
            gradient = jax.grad(loss)(probes, key)
            first = jax.tree.map(lambda s, g: s + g, sums[0], gradient)
            return (first, jax.tree.map(lambda s, g: s + g**2, sums[1], gradient)), None

        count = self.settings.variance_draws
        keys = random.split(random.fold_in(self.key, 2), count)
        total, squares = jax.jit(lambda k: lax.scan(add, (probes, probes), k)[0])(keys)
        each = [(squares[p] - total[p] ** 2 / count) / (count - 1) for p in probes]
        return float(sum(v.sum() for v in each)) / len(images)

    def learned(self) -> dict[str, float]:
        """The estimator's own learned numbers, by parameter name."""
        params = self.svi.get_params(self.state) | (self.state.mutable_state or {})
        return {
            name: float(value)
            for name, value in params.items()
            if name.endswith((".temperature", ".eta", ".average"))
        }
