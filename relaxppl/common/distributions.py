"""What two of the distributions have beyond the members that their relaxations give."""

from __future__ import annotations

from typing import Any, ClassVar

from relaxppl import ops
from relaxppl.common.shell import Shell
from relaxppl.relaxations.generalized_gumbel_softmax import GeneralizedGumbelSoftmax
from relaxppl.relaxations.markov_chain import MarkovChain


class Conditioned(Shell):
    """A Markov chain that can be given evidence."""

    def condition(self, log_likelihood: Any) -> Any:
        """Returns the exact posterior chain, by forward-backward in O(T K^2).

        With log_likelihood[t, k] = log p(x_t | z_t = k) it is the law of the path of a hidden
        Markov model given its observations; ``log_evidence`` is its normaliser.

        :param log_likelihood: (..., *batch, T, K); -inf where a state is ruled out.
        :returns: a chain of the batch shape that both broadcast to.
        """
        law = self.law
        assert isinstance(law, MarkovChain)
        given = self._wide(self._argument(log_likelihood))
        first, moves = (self._kept(x) for x in law.posterior(given))
        return type(self)(first, moves)  # type: ignore[call-arg]


class Weighted(Shell):
    """A number that weights on a table of values make."""

    laws_of_weights: ClassVar[tuple[type[Shell], type[Shell]]]
    """The host's classes of soft weights, and of hard ones."""
    _validate_args: Any

    @property
    def weights(self) -> Any:
        """The distribution of the weights (*batch, n): a site with a density."""
        law = self.law
        assert isinstance(law, GeneralizedGumbelSoftmax)
        logits = self._kept(ops.broadcast_to(law.logits, (*self.batch_shape, law.size)))
        made: Any = self.laws_of_weights[bool(law.hard)]
        return made(self._kept(law.temperature), logits=logits, validate_args=self._validate_args)
