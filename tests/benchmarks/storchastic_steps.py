"""What bench_storchastic measures of storchastic 0.3.7, in an interpreter that has it.

A process of its own, since importing storchastic patches torch. It reads one request a line, as
JSON, and answers with one line: ``{"steps": NAME, "count": 5}`` with the seconds of so many
training steps, ``{"gradients": NAME, "logits": [...], "matrix": [...], "linear": [...], "draws":
N}`` with the mean gradient of a toy and its standard errors.

The network is written as storchastic's own example of a VAE is: the KL is a cost of its own, the
Bernoulli's probabilities are clamped, and the method's parameters are trained with the rest.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import storch
import torch
from torch.distributions import Bernoulli, kl_divergence
from torch.distributions.utils import clamp_probs
from torch.nn.functional import softplus

PIXELS, LATENTS, BATCH, ROWS = 784, 200, 100, 500

METHODS: dict[str, Callable[[int], Any]] = {
    "score": lambda latents: storch.method.ScoreFunction("z"),
    "RLOO-4": lambda latents: storch.method.ScoreFunction(
        "z", n_samples=4, baseline_factory="batch_average"
    ),
    "ARM": lambda latents: storch.method.ARM("z"),
    "DisARM": lambda latents: storch.method.DisARM("z"),
    "REBAR": lambda latents: storch.method.REBAR("z"),
    "RELAX": lambda latents: storch.method.RELAX("z", in_dim=(latents,)),
}


def drawn(method: Any, logits: Any) -> tuple[Any, Any]:
    """A sample of Bernoulli(logits), and its exact KL from the uniform law, by row."""
    law = Bernoulli(probs=clamp_probs(logits.sigmoid()))
    kl = kl_divergence(law, Bernoulli(probs=torch.ones_like(law.probs) / 2)).sum(-1)
    z = method(law)
    return z.float() if z.dtype == torch.bool else z, kl


def add_costs(method: Any, kl: Any, cost: Any) -> None:
    """The KL is a cost of its own; with ARM, which fails where there are two, a loss of torch."""
    if isinstance(method, storch.method.ARM):
        storch.reduce_plates(kl)._tensor.backward(retain_graph=True)
    else:
        storch.add_cost(kl, "KL")
    storch.add_cost(cost, "cost")


class Trainer:
    """Steps of Adam on the linear sigmoid belief network 784-200-784."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        self.encoder = torch.nn.Linear(PIXELS, LATENTS)
        self.decoder = torch.nn.Linear(LATENTS, PIXELS)
        self.method = METHODS[name](LATENTS)
        modules = torch.nn.ModuleList([self.encoder, self.decoder, self.method])
        self.adam = torch.optim.Adam(modules.parameters(), 1e-3)
        self.data, self.count = (torch.rand(20, BATCH, PIXELS) < 0.2).float(), 0
        self.encode = storch.deterministic(self.encoder.forward)
        self.misfit = storch.deterministic(self._misfit)

    def _misfit(self, b: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        logits = self.decoder(b)
        return (softplus(logits) - x * logits).sum(-1)

    def step(self) -> float:
        self.adam.zero_grad()
        x = storch.denote_independent(self.data[self.count % 20], 0, "data")
        self.count += 1
        b, kl = drawn(self.method, self.encode(x))
        add_costs(self.method, kl, self.misfit(b, x))
        loss = storch.backward()
        self.adam.step()
        return float(loss)


def steps(trainers: dict[str, Trainer], request: dict[str, Any]) -> dict[str, Any]:
    """Times some steps."""
    name = request["steps"]
    if name not in trainers:
        trainers[name] = Trainer(name)
    begin = time.process_time()
    for _ in range(request["count"]):
        loss = trainers[name].step()
    return {"seconds": time.process_time() - begin, "loss": loss}


def gradients(request: dict[str, Any]) -> dict[str, Any]:
    """The mean gradient of E[|b A|^2 + b c] + KL in the logits, by many rows at once."""
    torch.manual_seed(0)
    start, matrix, linear = (torch.tensor(request[n]) for n in ("logits", "matrix", "linear"))
    method = METHODS[request["gradients"]](len(start))

    @storch.deterministic
    def cost(b: torch.Tensor) -> torch.Tensor:
        return ((b @ matrix) ** 2).sum(-1) + b @ linear

    found = []
    for _ in range(request["draws"] // ROWS):
        rows = start.expand(ROWS, -1).clone().requires_grad_()
        b, kl = drawn(method, storch.denote_independent(rows, 0, "data"))
        add_costs(method, kl, cost(b))
        storch.backward()
        # The mean over rows is differentiated.
        found.append(ROWS * rows.grad.detach())
    each = torch.cat(found).double()
    return {"mean": each.mean(0).tolist(), "error": (each.std(0) / len(each) ** 0.5).tolist()}


def main() -> None:
    """Answer one request after another."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    trainers: dict[str, Trainer] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "steps" in request:
            answer = steps(trainers, request)
        elif "gradients" in request:
            answer = gradients(request)
        else:
            answer = {"version": version("storchastic"), "torch": version("torch")}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
