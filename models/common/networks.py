"""Initial weights as NumPy arrays, so that both hosts can begin at the same point."""

import numpy as np
from numpy.typing import NDArray

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
