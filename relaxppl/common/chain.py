"""A Markov chain given evidence: a distribution of the same class."""

from __future__ import annotations

from typing import Any

from relaxppl.common.shell import Shell
from relaxppl.relaxations.markov_chain import MarkovChain


class Conditioned(Shell):
    """What a host's chain has beyond the members that its law gives."""

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
