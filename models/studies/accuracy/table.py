"""What the accuracy page shows of the figures that are kept."""

from collections.abc import Mapping
from typing import Any

HEAD = (
    "problem, posterior, marginals, joint, seconds, k-hat, psis: marginals, joint, seconds, "
    "mh: marginals, joint, seconds"
)
KINDS = ("mean field", "dependent")
HOSTS = {"pyro": "Pyro", "numpyro": "NumPyro"}

Kept = Mapping[str, Mapping[str, Any]]
"""By problem: what it is about, its guides by host and kind, and NumPyro's sampler."""


def problems(kept: Kept) -> str:
    """What each problem is about and how its posterior is known, as a list in Markdown."""
    lines = [f"- **{name}**: {found['about']}; {found['exact']}." for name, found in kept.items()]
    return "\n".join(lines)


def table(kept: Kept) -> str:
    """The figures in Markdown, a line for each posterior."""
    head = HEAD.split(", ")
    lines = [head, ["---"] * 2 + ["---:"] * (len(head) - 2)]
    for name, found in kept.items():
        first = name
        for host, label in HOSTS.items():
            for kind in KINDS:
                if kind in found.get(host, {}):
                    figures = _figures(found[host][kind])
                    lines.append([first, f"{kind}, {label}", *figures])
                    first = ""
        if "sampler" in found:
            own = found["sampler"]
            label = f"DiscreteHMCGibbs, {own['draws']:,} draws"
            lines.append([first, label, *_errors(own), *[""] * 7])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _errors(found: Mapping[str, float]) -> list[str]:
    return [f"{found['marginal']:.3f}", f"{found['joint']:.3f}", f"{found['seconds']:.0f}"]


def _figures(found: Mapping[str, Any]) -> list[str]:
    k = found["k_hat"]
    made = [*_errors(found), "below 0" if k < 0 else f"{k:.2f}"]
    for kind in ("psis", "mh"):
        made += _errors(found[kind]) if kind in found else ["refused", "", ""]
    return made
