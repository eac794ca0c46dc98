"""What tests compile with: flags of XLA, and fewer of JAX's contexts."""

from importlib.metadata import version

# Most of the time of the tests is XLA's: compilation that does not optimise is several times
# faster.
QUICK = "--xla_backend_optimization_level=0"
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 12):  # Later ones refuse the flag.
    QUICK += " --xla_cpu_use_fusion_emitters=false"


def share_contexts(uses: int = 200) -> None:
    """Gives JAX one MLIR context for many programs, in place of one each.

    A context takes about 7 ms to make, a fifth of what the smallest program takes to compile, and
    the tests compile thousands. It is renewed now and then because it keeps the constants of all
    its programs.

    :param uses: how many programs share a context.
    """
    from jax._src.interpreters import mlir

    make, kept = mlir.make_ir_context, []

    def shared():
        if not kept or len(kept) > uses:
            kept[:] = [make()]
        kept.append(kept[0])
        return kept[0]

    mlir.make_ir_context = shared
