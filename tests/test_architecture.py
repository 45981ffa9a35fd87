"""The layout of the package: what may import what. Deferred and type-only imports count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "demix_jax"

# What a folder must never import, directly. A star stands for every folder of the package.
NEVER = {
    "classifier": ("evidence", "data", "report"),
    "diagnosis": ("report",),
    "report": ("classifier", "domains"),
    "models": ("data",),
    "gradients": ("data", "evidence"),
    "curvature": ("data", "evidence"),
    "influence": ("data", "evidence"),
    "evidence": ("influence", "domains"),
    "*": ("cli",),
}
# From the top down: a folder imports only from folders below it.
ORDER = (
    "cli", "meta_training", "domains", "report", "diagnosis", "repairs", "corruption", "influence", "curvature",
    "gradients", "evidence", "models", "data", "classifier", "common",
)  # fmt: skip
ENGINE = ("gradients/", "curvature/", "influence/")
PANDAS = ("data", "diagnosis", "domains", "report", "repairs", "corruption", "meta_training", "cli", "common/files.py")


def imports_of(path: Path) -> set[str]:
    """The modules that a file imports, by dotted name; `from a import b` counts as both a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {str(node.module), *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package below `root`, by dotted name."""
    named = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def graph_of(root: Path) -> dict[str, set[str]]:
    """For every module, the modules of the package that it imports."""
    known = modules(root)
    return {name: {other for other in imports_of(path) if other in known} - {name} for name, path in known.items()}


def folder(module: str) -> str:
    """The part of the package that a module is in; a domain is a part of its own: "domains/tables"."""
    parts = module.split(".")[1:]
    if not parts:
        return ""
    return "/".join(parts[:2]) if parts[0] == "domains" and len(parts) > 1 else parts[0]


def forbidden_arrows(root: Path) -> list[str]:
    """Imports that must never be, as "module -> module"."""
    found = []
    for name, others in graph_of(root).items():
        source = folder(name)
        for other in sorted(others):
            target = folder(other)
            never = (*NEVER.get(source.split("/")[0], ()), *NEVER["*"])
            between_domains = source.startswith("domains/") and target.startswith("domains/")
            outside = name not in (PACKAGE, f"{PACKAGE}.__main__")
            if source != target and outside and (target.split("/")[0] in never or between_domains):
                found.append(f"{name} -> {other}")
    return found


def upward_arrows(root: Path) -> list[str]:
    """Imports from a folder of one above it, as "module -> module"."""
    found = []
    for name, others in graph_of(root).items():
        source = folder(name).split("/")[0]
        for other in sorted(others):
            target = folder(other).split("/")[0]
            if source in ORDER and target in ORDER and ORDER.index(target) < ORDER.index(source):
                found.append(f"{name} -> {other}")
    return found


def circles(root: Path) -> list[list[str]]:
    """Groups of modules that import each other, in whatever way round; by Tarjan's algorithm.

    A package's `__init__` gives names to the outside: that a module imports another of its own package does not count
    as an import of the package.
    """
    graph = graph_of(root)
    graph = {name: {other for other in others if not name.startswith(f"{other}.")} for name, others in graph.items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


def pandas_outside(root: Path) -> list[str]:
    """Files that import pandas and must not."""
    found = []
    for path in modules(root).values():
        place = path.relative_to(root / PACKAGE).as_posix()
        allowed = any(place == name or place.startswith(f"{name}/") for name in PANDAS)
        if not allowed and any(name.split(".")[0] == "pandas" for name in imports_of(path)):
            found.append(place)
    return found


def classes(root: Path) -> Iterator[tuple[str, str]]:
    """Name and file of every class of the package."""
    for path in modules(root).values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield node.name, path.relative_to(root).as_posix()


def long_positional_calls(root: Path) -> list[str]:
    """Objects of more than four fields that are built by position, as "file: Class", outside of the engine."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in modules(root).values()}
    long = {
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and sum(isinstance(part, ast.AnnAssign) for part in node.body) > 4
    }
    found = []
    for path, tree in trees.items():
        place = path.relative_to(root / PACKAGE).as_posix()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and not place.startswith(ENGINE):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in long and len(node.args) > 4:
                    found.append(f"{place}: {name}")
    return found


def test_no_arrow_that_must_never_be():
    assert forbidden_arrows(ROOT) == []


def test_a_folder_imports_only_from_folders_below_it():
    assert upward_arrows(ROOT) == []


def test_no_circle():
    assert circles(ROOT) == []


def test_pandas_only_where_tables_are():
    assert pandas_outside(ROOT) == []


def test_long_objects_are_built_by_keyword():
    assert long_positional_calls(ROOT) == []


def test_the_root_has_no_loose_module():
    loose = {path.name for path in (ROOT / PACKAGE).glob("*.py")}
    assert loose == {"__init__.py", "__main__.py"}
    folders = {path.name for path in (ROOT / PACKAGE).iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert folders == set(ORDER)


def test_no_two_classes_have_one_name():
    places: dict[str, list[str]] = {}
    for name, place in classes(ROOT):
        places.setdefault(name, []).append(place)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_function_of_a_package_hides_a_module_of_it():
    """`from demix_jax.x import y` must not give a function in one place and a module in another."""
    known, hidden = modules(ROOT), []
    for name, path in known.items():
        if path.name == "__init__.py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    taken = [alias.asname or alias.name for alias in node.names]
                    hidden += [
                        f"{name}.{one}"
                        for one in taken
                        if f"{name}.{one}" in known and f"{node.module}.{one}" not in known
                    ]
    assert hidden == []


@pytest.fixture
def house(tmp_path):
    """A small package with one fault of each kind, next to innocent code."""
    texts = {
        "__init__.py": "from demix_jax.cli import main\n",
        "cli/__init__.py": "main = None\n",
        "classifier/model.py": "def f():\n    from demix_jax.evidence import rows\n",
        "evidence/rows.py": "import pandas as pd\n",
        "evidence/__init__.py": "",
        "report/page.py": "import typing\nif typing.TYPE_CHECKING:\n    from demix_jax.domains.a import x\n",
        "domains/a/x.py": "from demix_jax.domains.b import y\nimport pandas\n",
        "domains/a/__init__.py": "from demix_jax.domains.a.x import z\n",
        "domains/b/y.py": "import demix_jax.cli\n",
        "domains/b/__init__.py": "",
        "data/one.py": "from demix_jax.data.two import b\n",
        "data/two.py": "def g():\n    import demix_jax.data.one\n    return Long(1, 2, 3, 4, 5), Long(1, a=2)\n",
        "data/long.py": "class Long:\n    a: int\n    b: int\n    c: int\n    d: int\n    e: int\n",
        "common/files.py": "import pandas\n",
    }
    for name, text in texts.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_faults_are_found(house):
    arrows = forbidden_arrows(house)
    assert "demix_jax.classifier.model -> demix_jax.evidence.rows" in arrows
    assert "demix_jax.report.page -> demix_jax.domains.a.x" in arrows
    assert "demix_jax.domains.a.x -> demix_jax.domains.b.y" in arrows
    assert "demix_jax.domains.b.y -> demix_jax.cli" in arrows
    assert not any(arrow.startswith("demix_jax ->") for arrow in arrows), "the root gives names to the outside"
    assert "demix_jax.classifier.model -> demix_jax.evidence.rows" in upward_arrows(house)
    assert circles(house) == [["demix_jax.data.one", "demix_jax.data.two"]]
    assert pandas_outside(house) == ["evidence/rows.py"]
    assert long_positional_calls(house) == ["data/two.py: Long"]
