"""What is imported when, each in a process of its own, and what the package says of itself."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import relaxppl
from relaxppl.common.public import NAMES

ROOT = Path(__file__).parent.parent
PACKAGE = Path(relaxppl.__file__).parent
HOST = {"numpyro": ("jax", "jaxlib", "numpyro"), "pyro": ("torch", "pyro")}
OTHER = {"numpyro": "pyro", "pyro": "numpyro"}
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def python(program: str, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter where some packages cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(blocked=blocked) + program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_relaxppl_alone_loads_no_host() -> None:
    done = python(
        "import relaxppl, relaxppl.relaxations, relaxppl.estimators\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "relaxppl" in loaded
    assert not loaded & {
        "torch",
        "pyro",
        "jax",
        "jaxlib",
        "numpyro",
        "scipy",
        "arviz",
        "matplotlib",
    }


def declared(path: Path) -> set[str]:
    """The names that a module has for those who read it and do not run it."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            stars = [alias for alias in node.names if alias.name == "*"]
            found |= {alias.name for alias in node.names if alias.asname == alias.name}
            for _ in stars:
                found |= declared(PACKAGE.parent / f"{node.module.replace('.', '/')}.py")
    return found


@pytest.mark.parametrize("host", HOST)
def test_every_public_name_is_declared(host: str) -> None:
    module = importlib.import_module(f"relaxppl.{host}")
    assert sorted(module.__all__) == sorted(set(NAMES))
    assert declared(PACKAGE / host / "__init__.py") == set(NAMES)
    assert all(getattr(module, name, None) is not None for name in NAMES)


USES = {
    "numpyro": """
import jax, jax.numpy as jnp, numpyro
import relaxppl.numpyro as rx
from numpyro.infer import SVI, Trace_ELBO
def model():
    numpyro.sample("z", rx.RelaxedBernoulli(0.5, logits=jnp.zeros(3)).to_event(1))
def guide():
    logits = numpyro.param("logits", jnp.ones(3))
    numpyro.sample("z", rx.RelaxedBernoulli(0.5, logits=logits).to_event(1))
svi = SVI(model, guide, numpyro.optim.Adam(0.1), Trace_ELBO())
result = svi.run(jax.random.key(0), 3, progress_bar=False)
assert jnp.isfinite(result.losses).all() and (result.params["logits"] != 1).all()
""",
    "pyro": """
import pyro, torch
import relaxppl.pyro as rx
from pyro.infer import SVI, Trace_ELBO
temperature = torch.tensor(0.5)
def model():
    pyro.sample("z", rx.RelaxedBernoulli(temperature, logits=torch.zeros(3)).to_event(1))
def guide():
    logits = pyro.param("logits", torch.ones(3))
    pyro.sample("z", rx.RelaxedBernoulli(temperature, logits=logits).to_event(1))
svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO())
for _ in range(3):
    svi.step()
assert (pyro.param("logits") != 1).all()
""",
}


@pytest.mark.parametrize("host", HOST)
def test_a_host_works_without_the_other(host: str) -> None:
    other = HOST[OTHER[host]]
    check = "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = python(USES[host] + check, blocked=other)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert set(HOST[host]) <= loaded
    assert not loaded & set(other)


@pytest.mark.parametrize(
    ("host", "blocked"),
    [("numpyro", "numpyro"), ("numpyro", "jax"), ("pyro", "pyro"), ("pyro", "torch")],
)
def test_a_missing_host_names_its_extra(host: str, blocked: str) -> None:
    done = python(
        f"try:\n    import relaxppl.{host}\nexcept ImportError as error:\n    print(error)",
        blocked=(blocked,),
    )
    assert done.returncode == 0, done.stderr
    assert f'pip install "relaxppl[{host}]"' in done.stdout


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_shared_mathematics_imports_no_host() -> None:
    files = [
        path for part in ("relaxations", "estimators") for path in (PACKAGE / part).rglob("*.py")
    ]
    assert len(files) > 5
    for path in files:
        assert not imported(path) & {"jax", "numpyro", "torch", "pyro"}, path


@pytest.mark.parametrize("host", HOST)
def test_a_shell_imports_its_own_host_only(host: str) -> None:
    files = list((PACKAGE / host).rglob("*.py"))
    assert files
    for path in files:
        assert not imported(path) & set(HOST[OTHER[host]]), path


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_metadata() -> None:
    data = project()
    assert data["requires-python"] == ">=3.11"
    assert [re.split(r"[<>=]", need)[0] for need in data["dependencies"]] == ["numpy"]
    extras = data["optional-dependencies"]
    assert {"pyro", "numpyro", "arviz", "models", "test", "docs", "all"} <= set(extras)
    everything = re.search(r"\[(.*)\]", extras["all"][0])
    assert everything
    assert set(everything.group(1).split(",")) == set(extras) - {"all"}
    assert (PACKAGE / "py.typed").exists()
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", relaxppl.__version__)


def test_constraints_pin_what_the_tests_run_with() -> None:
    from importlib.metadata import version

    file = "constraints.txt" if sys.version_info < (3, 12) else "constraints-py313.txt"
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert pins["torch"] == "2.13.0"
    names = {"numpy"}
    for extra, needs in project()["optional-dependencies"].items():
        if extra not in ("docs", "all"):
            names |= {re.split(r"[!<>=\[]", need)[0] for need in needs}
    for name in names - {"relaxppl"}:
        assert version(name).partition("+")[0] == pins[name], name
