"""Imports go one way, and heavy stacks are imported where they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .source import DOMAINS, PACKAGES, ROOT, dotted, package_files, place, python_files, tree

CORE_NEEDS = {"torch", "numpy", "scipy", "casbo"}
OPTIONAL = (
    "cma",
    "diffusers",
    "distributed",
    "gemmi",
    "httpx",
    "jinja2",
    "matplotlib",
    "meeko",
    "openbabel",
    "pebble",
    "PIL",
    "posebusters",
    "prolif",
    "rdkit",
    "rich",
    "safetensors",
    "stamina",
    "transformers",
    "typer",
    "vina",
)


def imported_names(path: Path, *, at_import: bool = False) -> Iterator[tuple[str, ast.AST]]:
    """Yield the absolute modules that a file imports; `at_import`: only when it is imported itself."""
    for node in module_level(tree(path)) if at_import else ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:  # a relative import cannot leave its own package
                yield str(node.module), node
        elif isinstance(node, ast.Call) and dotted(node.func).endswith(
            ("import_module", "__import__")
        ):
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value, node


def module_level(module: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is imported, `if TYPE_CHECKING` left out."""
    stack: list[ast.AST] = list(module.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            stack.extend(node.orelse)
            continue
        yield node
        stack.extend(ast.iter_child_nodes(node))


def owner(path: Path) -> str:
    """Return the package or top folder that a file belongs to."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "domains" else parts[0]


def forbidden(package: str) -> set[str]:
    """Return the top-level packages of this project that `package` must not import."""
    everything = {*PACKAGES, "benchmarks", "tests"}
    allowed = {
        "casbo": {"casbo"},
        "benchmarks": {*PACKAGES, "benchmarks"},
        "tests": {*PACKAGES, "benchmarks", "tests"},
        "docs": set(PACKAGES),
    }
    return everything - allowed.get(package, {"casbo", package})


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_import_directions(path: Path) -> None:
    wrong = [
        f"{place(path, node)} imports {name}"
        for name, node in imported_names(path)
        if name.split(".")[0] in forbidden(owner(path))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_direction_rule_itself() -> None:
    assert {"casbo_functions", "casbo_molecules", "benchmarks"} <= forbidden("casbo")
    assert "casbo_molecules" in forbidden("casbo_functions")
    assert not {"casbo", "casbo_functions"} & forbidden("casbo_functions")
    assert not set(PACKAGES) & forbidden("benchmarks")


@pytest.mark.parametrize("path", python_files("casbo"), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_engine_needs_torch_numpy_and_scipy_only(path: Path) -> None:
    if path.name in {"cli.py", "__main__.py"}:
        pytest.skip("the command line is not imported by `import casbo`; it may need typer")
    wrong = [
        f"{place(path, node)} imports {name} at import time: import it inside the function that uses it"
        for name, node in imported_names(path, at_import=True)
        if name.split(".")[0] not in CORE_NEEDS | sys.stdlib_module_names
    ]
    assert not wrong, "\n".join(wrong)


def run_python(code: str, *, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which importing a blocked package raises ImportError."""
    blocker = (
        "import sys\n"
        f"blocked = {blocked!r}\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in blocked:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r} (blocked)', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    return subprocess.run(
        [sys.executable, "-c", blocker + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_the_engine_runs_without_any_optional_package() -> None:
    code = (
        "import torch, casbo\n"
        "optimizer = casbo.Optimizer(steps=3, dim=2, population=8, seed=0, direction='minimize')\n"
        "for _ in range(3):\n"
        "    optimizer.tell(optimizer.ask().square().sum((1, 2)))\n"
        "print(optimizer.queries)\n"
    )
    outcome = run_python(code, blocked=OPTIONAL)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.split() == ["24"]


def test_import_casbo_loads_no_optional_package() -> None:
    outcome = run_python("import casbo; print(*{m.split('.')[0] for m in sys.modules})")
    assert outcome.returncode == 0, outcome.stderr
    loaded = set(outcome.stdout.split())
    assert not loaded & set(OPTIONAL)
    assert not loaded & set(DOMAINS)


def test_the_command_line_begins_without_what_takes_long_to_load() -> None:
    """`casbo --help` has every domain's commands, and torch alone takes a second."""
    code = (
        "import casbo.cli\n"
        "casbo.cli.make_app(casbo.cli.load_domains())\n"
        "print(*{m.split('.')[0] for m in sys.modules})"
    )
    outcome = run_python(code)
    assert outcome.returncode == 0, outcome.stderr
    loaded = set(outcome.stdout.split())
    assert {"casbo", *DOMAINS} <= loaded
    assert not loaded & {"torch", "numpy", *(set(OPTIONAL) - {"typer", "rich"})}


def test_no_public_name_is_a_submodule() -> None:
    """Importing a submodule puts it into the package in place of a function of its name."""
    import casbo

    submodules = {path.stem for path in python_files("casbo") if path.parent.name == "casbo"}
    assert not submodules & set(casbo.__all__)
    assert all(hasattr(casbo, name) for name in casbo.__all__)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_and_its_command_import_without_their_extra(domain: str) -> None:
    heavy = tuple(set(OPTIONAL) - {"typer", "rich", "safetensors"})
    outcome = run_python(f"import {domain}, {domain}.command", blocked=heavy)
    assert outcome.returncode == 0, outcome.stderr


def test_every_package_file_postpones_annotations() -> None:
    wrong = [
        place(path, 1)
        for path in package_files()
        if len(tree(path).body) > 1
        and not any(
            isinstance(node, ast.ImportFrom) and node.module == "__future__"
            for node in tree(path).body
        )
        and any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in ast.walk(tree(path)))
    ]
    assert not wrong, "\n".join(wrong)
