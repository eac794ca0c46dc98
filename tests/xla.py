"""The flags of XLA that tests compile with."""

from importlib.metadata import version

# Most of the time of the tests is XLA's: compilation that does not optimise is several times
# faster.
QUICK = "--xla_backend_optimization_level=0"
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 12):  # Later ones refuse the flag.
    QUICK += " --xla_cpu_use_fusion_emitters=false"
