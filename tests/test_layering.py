"""Imports go one way, nothing dangerous is imported anywhere, and randomness has one owner."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(p for package in ("mpc", "protocols") for p in (ROOT / package).rglob("*.py"))
MODULES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in FILES}

#: The floors, from the ground up.  What is on one floor does not know what else is there.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("mpc",),
    ("protocols.bilinear", "protocols.threat"),
    ("protocols.ot",),
    ("protocols.monomials",),
    ("protocols.prep",),
    ("protocols.suite",),
    ("protocols.carries", "protocols.beaver", "protocols.truncation", "protocols.masked_bits"),
    ("protocols.suites",),
    ("protocols.array",),
    ("protocols.ops",),
    ("protocols.numpy",),
    ("protocols.privacy", "protocols.running"),
    ("protocols.aggregation",),
    ("protocols.bench", "protocols.conformance"),
    ("mpc.__init__",),  # the front doors
    ("mpc.cli",),
    ("mpc.__main__", "mpc.conformance"),
)
#: The same within aggregation, whose top is what all its folders use.
WINGS = (
    "protocols.aggregation",
    "protocols.aggregation.one_server",
    "protocols.aggregation.several_servers",
    "protocols.aggregation.service",
    "protocols.aggregation.flower",
)
BANNED = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "random",
    "secrets",
    "asyncio",
    "multiprocessing",
    "numpy.random",
}
LICENSED: dict[str, set[str]] = {
    "numpy.random": {"protocols.bench.online", "protocols.conformance.operations"},  # public test data
    "socket": {
        "protocols.aggregation.service.frames",
        "protocols.aggregation.service.hub",
        "protocols.aggregation.service.line",
        "mpc.cli.sessions",
        "mpc.transport.joining",
        "mpc.transport.tcp",
        "mpc.transport.tls",
        "mpc.launch",
        "protocols.running.deployed",
        "protocols.bench.online",
    },
    "ssl": {
        "protocols.aggregation.service.hub",
        "protocols.aggregation.service.line",
        "mpc.transport.joining",
        "mpc.transport.tcp",
        "mpc.transport.tls",
    },
    "subprocess": {"mpc.ephemeral", "mpc.launch"},
    "threading": {
        "mpc.meter",
        "mpc.transport.memory",
        "protocols.running.local",
        "protocols.bench.online",
        "mpc.launch",
    },
}
#: Who may send: the tools around rounds, the suites and what they are made of, the sources of randomness, the
#: session's announcements.
SENDERS = {
    "mpc.rounds",
    "mpc.seat",
    "protocols.suites.additive",
    "protocols.suites.blocks",
    "protocols.suites.fantastic_four",
    "protocols.suites.replicated",
    "protocols.suite",
    "protocols.array.session",
    "protocols.prep.dealer",
    "protocols.prep.stored",
    "protocols.ot.extension",
    "protocols.ot.silent",
    "protocols.ot.products",
    "protocols.bench.offline",
}


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse


def nodes(above: ast.AST, *, everywhere: bool) -> Iterator[ast.AST]:
    """All nodes; unless ``everywhere``, not those inside functions."""
    for child in ast.iter_child_nodes(above):
        if type_checking(child) or (
            not everywhere and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ):
            continue
        yield child
        yield from nodes(child, everywhere=everywhere)


@cache
def imports(name: str, *, everywhere: bool = True) -> set[str]:
    """The modules that a module names: ``from a import b`` counts as ``a`` and, where that is a module,
    ``a.b``.
    """
    found: set[str] = set()
    for node in nodes(tree(name), everywhere=everywhere):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= {i for i in inner if i in MODULES or i in BANNED} or {module}
            if any(i not in MODULES for i in inner):
                found.add(module)
    return found


@cache
def calls(name: str) -> set[str]:
    """Everything that is called, as dotted names."""
    return {ast.unparse(n.func) for n in nodes(tree(name), everywhere=True) if isinstance(n, ast.Call)}


@cache
def attributes(name: str) -> set[str]:
    return {ast.unparse(n) for n in nodes(tree(name), everywhere=True) if isinstance(n, ast.Attribute)}


def test_the_parser_sees_something() -> None:
    assert (
        "protocols.prep.dealer" in MODULES
        and "mpc.ring" in imports("mpc.prg")
        and "mpc.prg.SEED_BYTES" not in imports("mpc.seat")
    )
    assert "mpc.kernels" in imports("mpc.ring") and "mpc.kernels" not in imports("mpc.ring", everywhere=False)


def room(name: str) -> str:
    """The folder, or file at the top, that a module is part of; ``mpc`` is one but for its front doors."""
    rooms = [place for floor in FLOORS for place in floor if f"{name}.".startswith(f"{place}.")]
    return "mpc.__init__" if name == "mpc" else max(rooms, key=len)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_downwards(name: str) -> None:
    """Also inside functions: a lazy import is an import.  What only names a type is none."""
    assert not {i.split(".")[0] for i in imports(name)} & {"examples", "tests", "benchmarks"}
    if name == "protocols":
        return
    heights = {place: height for height, floor in enumerate(FLOORS) for place in floor}
    here = room(name)
    # whose version and place all may ask
    for other in (i for i in imports(name) if i in MODULES and i != "mpc"):
        assert room(other) == here or heights[room(other)] < heights[here], f"{name} → {other}"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("protocols")])
def test_of_the_front_door_version_and_place_are_asked_for(name: str) -> None:
    used = {a for a in attributes(name) if a.startswith("mpc.") and a.count(".") == 1}
    for node in nodes(tree(name), everywhere=True):
        if isinstance(node, ast.ImportFrom) and node.module == "mpc":
            used |= {f"mpc.{alias.name}" for alias in node.names} - MODULES.keys()
    assert used <= {"mpc.__file__", "mpc.__version__"}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("protocols.aggregation")])
def test_imports_go_downwards_in_aggregation(name: str) -> None:
    def wing(module: str) -> int:
        return max(i for i, place in enumerate(WINGS) if f"{module}.".startswith(f"{place}."))

    for other in (i for i in imports(name) if i in MODULES and i.startswith("protocols.aggregation")):
        assert wing(other) <= wing(name), f"{name} → {other}"


def test_a_floor_is_named_for_each_room() -> None:
    """None is forgotten, and none is there twice."""
    places = [place for floor in FLOORS for place in floor]
    assert len(places) == len({*places})
    for name in MODULES:
        assert name == "protocols" or room(name)


def test_there_are_no_cycles() -> None:
    """Among what is imported while modules load."""
    graph = {
        name: {i for i in imports(name, everywhere=False) if i in MODULES and i != name} for name in MODULES
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name not in done:
            for below in sorted(graph[name]):
                visit(below, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", MODULES)
def test_nothing_banned_is_imported(name: str) -> None:
    used = {b for b in BANNED | LICENSED.keys() for i in imports(name) if i == b or i.startswith(f"{b}.")}
    used |= (
        {"numpy.random"}
        if any(a.startswith(("np.random", "numpy.random")) for a in attributes(name))
        else set()
    )
    assert not {b for b in used if name not in LICENSED.get(b, set())}


@pytest.mark.parametrize("name", MODULES)
def test_no_text_is_run(name: str) -> None:
    assert not calls(name) & {
        "eval",
        "exec",
        "compile",
        "__import__",
        "os.system",
        "os.popen",
        "np.load",
        "np.save",
        "np.fromstring",
    }


@pytest.mark.parametrize("name", MODULES)
def test_randomness_has_one_owner(name: str) -> None:
    used = {
        a
        for a in attributes(name) | calls(name)
        if a in ("os.urandom", "os.getrandom") or a.startswith("uuid.")
    }
    assert not used or name == "mpc.prg"


@pytest.mark.parametrize("name", MODULES)
def test_only_these_modules_exchange(name: str) -> None:
    """Operations and the array have no way to send: all of it goes through a suite."""
    assert "exchange" not in calls(name) or name in SENDERS


@pytest.mark.parametrize("name", MODULES)
def test_what_is_not_masked_is_revealed_and_not_opened(name: str) -> None:
    """``open`` checks nothing: it is for values under a fresh mask, and for suites themselves."""
    masked = {"protocols.beaver", "protocols.truncation", "protocols.masked_bits", "protocols.ops.bitwise"}
    assert "suite.open" not in calls(name) or name in masked or name.startswith("protocols.conformance")


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in MODULES
        if n.startswith("protocols.ops")
        or n.startswith(("protocols.numpy", "protocols.suites"))
        or n == "protocols.array.secret"
        or n in next(floor for floor in FLOORS if "protocols.beaver" in floor)
    ],
)
def test_protocols_cannot_reach_a_transport(name: str) -> None:
    assert not {
        i for i in imports(name) if i.startswith(("mpc.transport", "mpc.party", "mpc.frames", "socket"))
    }
