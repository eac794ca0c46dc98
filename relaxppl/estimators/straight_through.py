"""The straight-through gradient of a level: biased, and of little variance.

The program is differentiated at the hard draw, as if its value followed the logits smoothly. The
slope of that fiction is the law's own: see :meth:`relaxppl.estimators.laws.Law.straight_through`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from relaxppl import ops
from relaxppl.estimators.base import Arrays, Step
from relaxppl.estimators.laws import Draw, Law, total
from relaxppl.estimators.program import Term, depending, reduce_to, zero
from relaxppl.ops import Array


def straight_through(
    step: Step,
    level: tuple[str, ...],
    below: Mapping[str, Draw],
    smooth: Callable[[Term], bool],
) -> Arrays:
    """Returns the straight-through gradient of each site of a level, of its logits' shape.

    :param level: sites that do not depend on each other.
    :param below: the draws of the sites downstream that have a straight-through value too.
    :param smooth: whether a derivative sees all of a term's effect. The other terms keep the score
        function: straight-through would take them for constants.
    """
    program = step.program
    draws = {name: step.draw(name) for name in level}

    def soft_value(name: str, law: Law | None) -> Array | None:
        if name not in below:
            return None
        hard = below[name].hard
        return hard if law is None else law.straight_through(hard)

    def whole(logits: Arrays) -> tuple[Array, tuple[()]]:
        laws = {n: type(draws[n].law)(logits[n]) for n in level}
        at = {n: law.straight_through(draws[n].hard) for n, law in laws.items()}
        terms = program.evaluate(at, soft_value, smooth)
        return sum((total(term.value) for term in terms), zero(logits[level[0]])), ()

    _, found, _ = ops.value_and_grad(whole, {n: draws[n].law.logits for n in level})
    rough = [term for term in program.terms if not smooth(term)]
    for name in level:
        site, missed = step.site(name), depending(rough, name)
        if missed:
            cost = site.aligned(reduce_to(missed, site.frames, draws[name].hard))
            found[name] = found[name] + ops.stop_gradient(cost) * draws[name].score()
    return {n: ops.stop_gradient(h) for n, h in found.items()}
