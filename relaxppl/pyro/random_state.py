"""States of torch's random numbers, those of the GPUs too: kept, put back, run from again."""

from __future__ import annotations

from typing import Any

import torch


def rng_state() -> Any:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), devices


def set_rng_state(state: Any) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state_all(state[1])


class rewound:
    """The random numbers of an earlier state, after which the present state goes on.

    :param state: of :func:`rng_state`; None for the present one.
    """

    def __init__(self, state: Any = None) -> None:
        self.state = rng_state() if state is None else state

    def __enter__(self) -> None:
        self.present = rng_state()
        set_rng_state(self.state)

    def __exit__(self, *exception: Any) -> None:
        set_rng_state(self.present)
