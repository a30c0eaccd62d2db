"""A program: its ``main``, and the code of its own that all parties must have alike.

That is its file and, of the folder it lies in, every module that it may import: those named in an ``import``
anywhere in its text or in theirs, inside functions too, and those found otherwise while it loads.  Their
digests are compared before anything is sent (``deployed.terms_of``).  A module that nobody could foresee,
since its name is computed while ``main`` runs, enters the digest of the next frame.  What is run is the text
that was compared: not what the file has become since, nor what a cache of bytecode has kept of an earlier
one.

Installed packages are not compared, wherever they lie, nor are files of data and a program's arguments, which
are each party's own.  ``mpc`` and ``protocols`` are this engine's, whatever lies in the folder under these
names."""

from __future__ import annotations

import ast
import json
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, resolve_name, spec_from_loader
from inspect import Parameter, iscoroutinefunction, signature
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import mpc
from mpc.errors import ConfigError

#: Folders that installers write to, and the engine's, whose version is compared.
_INSTALLED = {"site-packages", "dist-packages"}
_ENGINE = (Path(mpc.__file__).parent, Path(__file__).parents[1])
_OURS = ("mpc", "protocols")

_PLACES = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)

#: So many bytes of names and digests go into a greeting, at most.
_MOST = 1 << 15


def engine() -> str:
    """The version of this engine, and a digest of its code: many a checkout has the same version."""
    digest = blake2b(digest_size=8)
    for folder in _ENGINE:
        for path in sorted(folder.rglob("*.py")):
            text = path.read_bytes()
            digest.update(f"{path.relative_to(folder.parent).as_posix()} {len(text)} ".encode() + text)
    return f"{mpc.__version__} {digest.hexdigest()}"


class Program:
    """What all parties must run; and the finder of what it imports, since it must know of that."""

    def __init__(self, path: Path, arguments: Sequence[str] = ()) -> None:
        try:
            self.text = path.read_bytes()
        except OSError as error:
            said = f"{path} cannot be read ({error.strerror}): give the path of a program"
            raise ConfigError(said) from None
        # told file and digest of what was not foreseen
        self.on_late: Callable[[str, str], None] | None = None
        self._folder = str(path.parent.resolve())
        self._texts: dict[str, bytes] = {}  # by file, as seen from the folder
        self._foresee()
        self.main = _given(self._load(path), path, arguments)

    @property
    def terms(self) -> dict[str, Any]:
        """What must be the same at all parties."""
        modules = folded({file: _digest(text) for file, text in self._texts.items()})
        return {"program": _digest(self.text), "modules": modules}

    def _load(self, path: Path) -> Callable[..., Any]:
        sys.path.insert(0, self._folder)  # as when a script is run: its neighbours can be imported
        finders: list[Any] = sys.meta_path
        finders.insert(
            next(i for i, f in enumerate(finders) if f is PathFinder or isinstance(f, Program)), self
        )
        loader = _Text("__mpc_program__", str(path), self.text)
        spec = spec_from_loader(loader.name, loader)
        assert spec is not None
        module = sys.modules[loader.name] = module_from_spec(spec)
        loader.exec_module(module)
        main = getattr(module, "main", None)
        if not callable(main):
            raise ConfigError(f"{path} has no function main(party); every party runs that")
        if iscoroutinefunction(main):
            raise ConfigError(f"main in {path} is async; write it as a plain function: secrets need no await")
        return main  # type: ignore[no-any-return]

    # -- what it imports ---------------------------------------------------------------------------

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What Python would import under this name; where that is the program's own, its text is kept."""
        spec = PathFinder.find_spec(name, path, target)
        file = None if spec is None else self._own(spec)
        if spec is None or file is None:
            return spec
        known = file in self._texts
        text = self._keep(file, spec)
        if not known and self.on_late is not None:
            self.on_late(file, _digest(text))
        if isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Text(spec.loader.name, spec.loader.path, text)
        return spec

    def _foresee(self) -> None:
        """Keep the texts of all modules of the folder that are named in an import."""
        todo = [*_imports(self.text, "")]
        seen = set(todo)
        for name in todo:  # grows
            if name.partition(".")[0] in _OURS:
                self._hidden(name)
                continue
            spec = _sought(name, self._folder)
            file = None if spec is None else self._own(spec)
            if spec is None or file is None:
                continue
            text = self._keep(file, spec)
            if isinstance(spec.loader, SourceFileLoader):
                package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
                new = [n for n in _imports(text, package) if n not in seen]
                todo += new
                seen.update(new)

    def _hidden(self, name: str) -> None:
        """Refuse a module of the folder that a package of the engine's hides, since it has the same name."""
        top, _, rest = name.partition(".")
        module = _sought(name, self._folder)
        spec = module or _sought(top, self._folder)  # whose text may define the name
        file = None if spec is None else self._own(spec)
        ours = _sought(name, str(_ENGINE[0].parent)) is not None or hasattr(import_module(top), rest)
        if rest not in ("", "*") and file is not None and not ours:
            where = f"{'from' if module is None else 'which is'} {file} beside it"
            raise ConfigError(
                f"the program imports {name}, {where}, but '{top}' is a package of this engine: "
                f"give the program's own '{top}' another name"
            )

    def _own(self, spec: ModuleSpec) -> str | None:
        """The file of a module of the program's own, as seen from its folder."""
        if not spec.has_location or spec.origin is None:
            return None
        for path in (os.path.abspath(spec.origin), os.path.realpath(spec.origin)):
            if _within(path, self._folder):
                inside = os.path.relpath(path, self._folder).split(os.sep)
                return None if _INSTALLED & {*inside} or self._installed(path) else "/".join(inside)
        return None

    def _installed(self, path: str) -> bool:
        """Whether this is the engine's or, where Python itself is installed in the folder, its library's."""
        library = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
        return any(_within(path, str(folder)) for folder in _ENGINE) or any(
            _within(path, folder) for folder in library if _within(folder, self._folder)
        )

    def _keep(self, file: str, spec: ModuleSpec) -> bytes:
        if file not in self._texts:
            assert spec.origin is not None
            try:
                self._texts[file] = spec.loader.get_data(spec.origin)  # type: ignore[union-attr]
            except OSError as error:
                said = f"{spec.origin} cannot be read ({error.strerror}): the program imports it"
                raise ConfigError(said) from None
        return self._texts[file]


def _given(main: Callable[..., Any], path: Path, arguments: Sequence[str]) -> Callable[..., Any]:
    """``main`` as a function of the party alone: one that takes more is given the arguments."""
    try:
        shape = signature(main)
    except (TypeError, ValueError):  # some of C have none
        return main
    if len([p for p in shape.parameters.values() if p.kind in _PLACES]) < 2:
        return main  # which finds them in sys.argv
    try:
        shape.bind(None, *arguments)
    except TypeError as error:
        said = (
            f"main{shape} in {path} cannot be called with the {len(arguments)} arguments given after '--'"
            f" ({error})"
        )
        raise ConfigError(said) from None
    return lambda party: main(party, *arguments)


class _Text(SourceFileLoader):
    """Runs this text as a module."""

    def __init__(self, name: str, path: str, text: bytes) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._text, self.path)


def _imports(text: bytes, package: str) -> Iterator[str]:
    """All names that a text imports, each once, after those that it is below; some may be no modules."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return  # whoever imports it is told
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                base = resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:
                continue  # beyond the top: as above
            names |= dict.fromkeys([base, *(f"{base}.{alias.name}" for alias in node.names)])
    yield from dict.fromkeys(part for name in names for part in _prefixes(name))


def _sought(name: str, folder: str) -> ModuleSpec | None:
    """The module of this name in a folder; the packages that it is in are not run."""
    path: Sequence[str] | None = [folder]
    spec = None
    for part in _prefixes(name):
        spec = None if path is None else PathFinder.find_spec(part, path)
        path = None if spec is None else spec.submodule_search_locations
    return spec


def _prefixes(name: str) -> list[str]:
    """a, a.b and a.b.c."""
    parts = name.split(".") if name else []
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def folded(files: Mapping[str, str], most: int = _MOST) -> dict[str, str]:
    """The digests of files; where that would be too much to say, of folders, and of as few as it takes."""
    depth = max((file.count("/") for file in files), default=0) + 1
    said = dict(files)
    while len(json.dumps(said)) > most:
        depth -= 1
        inside: dict[str, list[str]] = {}
        for file, digest in sorted(files.items()):
            parts = file.split("/")
            name = file if len(parts) <= depth else "/".join([*parts[:depth], ""]) or "./"
            inside.setdefault(name, []).append(f"{file} {digest}")
        said = {name: files.get(name) or _digest("\n".join(lines).encode()) for name, lines in inside.items()}
    return said


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def _digest(text: bytes) -> str:
    return blake2b(text, digest_size=16).hexdigest()
