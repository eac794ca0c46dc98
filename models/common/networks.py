"""Initial weights as NumPy arrays, so that both hosts can begin at the same point."""

import numpy as np
from numpy.typing import NDArray

from models.data import pixel_logits

Weights = dict[str, NDArray[np.float32]]


def two_layer_weights(
    rng: np.random.Generator,
    inputs: int,
    hidden: int,
    outputs: int,
    output_bias: NDArray[np.floating] | float = 0.0,
) -> Weights:
    """Glorot-uniform weights of a network with one hidden layer, hidden biases zero.

    :param rng: the source of the draws.
    :param inputs: width of the input.
    :param hidden: width of the hidden layer.
    :param outputs: width of the output.
    :param output_bias: a number or shape (outputs,).
    :returns: "w1" (inputs, hidden), "b1" (hidden,), "w2" (hidden, outputs), "b2" (outputs,),
        float32.
    """

    def glorot(rows: int, columns: int) -> NDArray[np.float32]:
        bound = np.sqrt(6.0 / (rows + columns))
        return rng.uniform(-bound, bound, (rows, columns)).astype(np.float32)

    return {
        "w1": glorot(inputs, hidden),
        "b1": np.zeros(hidden, np.float32),
        "w2": glorot(hidden, outputs),
        "b2": np.broadcast_to(np.asarray(output_bias, np.float32), (outputs,)).copy(),
    }


def belief_weights(seed: int, images: NDArray[np.floating], layers: int, latents: int) -> Weights:
    """The weights at which a sigmoid belief network begins, on both hosts.

    They are uniform within one over the square root of the number of inputs. The bias of the
    pixels makes their probabilities the training images' means; the other biases are zero.

    :param seed: of the draws.
    :param images: training images, (n, D).
    :param layers: of codes.
    :param latents: codes in a layer.
    :returns: For each layer k from 1 up "w" (inputs, outputs) and "b" (outputs,) of the maps
        "infer{k}" (upwards) and "generate{k}" (downwards), as "infer1.w".
    """
    rng = np.random.default_rng(seed)
    made: Weights = {}
    for layer in range(1, layers + 1):
        below = images.shape[1] if layer == 1 else latents
        for name, inputs, outputs in (("infer", below, latents), ("generate", latents, below)):
            bound = 1.0 / np.sqrt(inputs)
            drawn = rng.uniform(-bound, bound, (inputs, outputs))
            made[f"{name}{layer}.w"] = drawn.astype(np.float32)
            made[f"{name}{layer}.b"] = np.zeros(outputs, np.float32)
    return made | {"generate1.b": pixel_logits(images)}


def stacked_weights(
    seed: int, runs: int, inputs: int, hidden: int, outputs: int, seen: int
) -> Weights:
    """Weights of one network for each run, stacked, where only some inputs are not zero.

    :param seed: of the first run's draws; the others follow.
    :param runs: how many networks.
    :param seen: inputs that are not zero: the first weights begin as those of so many inputs.
    :returns: as `two_layer_weights`, each with a first dimension (runs,).
    """
    each = []
    for run in range(runs):
        weights = two_layer_weights(np.random.default_rng([seed, run]), inputs, hidden, outputs)
        weights["w1"] *= np.sqrt((inputs + hidden) / (seen + hidden))
        each.append(weights)
    return {name: np.stack([weights[name] for weights in each]) for name in each[0]}
