"""What a distribution owes to its host, for every public class of the package on both hosts.

The properties are those that the hosts document of ``Distribution`` and hold their own classes to.
A row of ``tests/relaxations/cases.py`` gives a class all of them; ``test_completeness.py`` fails
where a public class has none. Here:

- test_jax: compiled or not, under vmap over parameters and distributions, flattened and rebuilt;
- test_torch: traced, compiled as one graph, under vmap;
- test_copies: pickled and copied, alone and as the host wraps them;
- test_shapes: expanded, expanded again, to nothing, reshaped, made an event, shapes inferred;
- test_masks: masks of values, gradients and divergences, with events and expansions;
- test_enumeration: values listed expanded and not, their masses, a site that Pyro sums out;
- test_bijections: from the reals onto the support and back, with the volume;
- test_posteriors: NUTS against quadrature;
- test_precision: float16 and bfloat16.

Tested for every class elsewhere, and not here again:

- log_prob, normalisation, goodness of fit: ``tests/relaxations/test_law.py``;
- mean, variance, entropy, cdf and its inverse: ``tests/moments``, ``test_properties.py``;
- gradients of log_prob and of samples against differences: ``test_gradients.py``;
- sample shapes, float32 and float64, independence within a batch: ``test_shapes.py``;
- refused parameters and values: ``test_bad_parameters.py``; float32 extremes: ``test_extremes.py``;
- sites of model and guide under the hosts' ELBOs: ``tests/hosts/test_in_model.py``;
- the divergences themselves: ``tests/common/divergences``.
"""
