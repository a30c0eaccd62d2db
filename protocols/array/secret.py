"""The array a user computes with: NumPy on the outside, shares on the inside.

The session has been given what NumPy's ufuncs and functions mean on secrets (``Names``).  Whatever is
not among them raises ``NotImplementedError`` with its name; what would leak or cannot work raises
``TypeError`` and says what to do instead.  Nothing ever turns into an array of objects.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

import numpy as np

from mpc.encoding import BOOL, INT, Fixed, Kind, numeric
from mpc.errors import MpcError
from mpc.ring import NDArray, RingArray, Shape
from mpc.rounds import Task
from protocols.suite import Share, Suite, lift

if TYPE_CHECKING:
    from protocols.array.session import Session
    from protocols.numpy.shadow import Shadow, Shadows
    from protocols.ops.randomness import Generator
    from protocols.ops.updates import Places

P = ParamSpec("P")
T = TypeVar("T")


def _method(function: Any) -> Callable[..., Secret]:
    """A method of ndarray that takes what the function of its name takes after the array."""

    def method(self: Secret, *args: Any, **kwargs: Any) -> Secret:
        return call(function, self, *args, **kwargs)

    method.__name__, method.__doc__ = function.__name__, f"``np.{function.__name__}`` of this array."
    return method


#: They would change the array, or show it, by NumPy's definition; and what to write instead.
_NO_METHOD = {
    **dict.fromkeys(
        ("sort", "partition"), "would change it, and secrets are immutable: write x = np.{name}(x)"
    ),
    **dict.fromkeys(
        ("fill", "put", "resize", "setfield", "byteswap", "setflags"),
        "would change it, and secrets are immutable: build a new one with np.where, np.concatenate or"
        " np.stack",
    ),
    **dict.fromkeys(
        (
            "item",
            "tolist",
            "tobytes",
            "tofile",
            "dump",
            "dumps",
            "data",
            "view",
            "getfield",
            "ctypes",
            "flat",
        ),
        "would show it: call .reveal() first",
    ),
    **dict.fromkeys(
        ("base", "flags", "strides", "nbytes", "itemsize"), "is not there: it has no place in memory"
    ),
    "compress": (
        "would show where a condition holds by the shape of its result: write np.where(condition, x, 0)"
    ),
}


class Names(Protocol):
    """NumPy's names on secrets, which a session is given from above: ``protocols/numpy/names.py``."""

    @property
    def METHODS(self) -> Mapping[str, Mapping[np.ufunc, Callable[..., Any]]]:
        """By how a universal function is called, and which it is."""
        ...

    @property
    def FUNCTIONS(self) -> Mapping[Callable[..., Any], Callable[..., Any]]: ...

    def normal(
        self, name: str, function: Callable[..., Any], make: Callable[..., Any], args: Any, kwargs: Any, /
    ) -> Any:
        """A call's arguments as ``make`` takes them."""
        ...

    def taken(self, name: str, make: Callable[..., Any], names: Mapping[str, Any], /) -> dict[str, Any]:
        """Of named arguments, those that ``make`` has to know."""
        ...

    def refusal(self, said: str, function: Any, /) -> Exception:
        """What to raise where a function is in no table."""
        ...

    def Places(self, x: Secret, /) -> Places: ...
    def Generator(self, session: Session, /) -> Generator: ...
    def checked(self, session: Session, /) -> Shadows: ...


class NoAttribute(AttributeError, TypeError):
    """What an ndarray has would leak, or cannot work: ``hasattr`` finds nothing, and who uses it is told what
    to do instead.
    """


class Secret(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that no single party can read.  ``reveal()`` opens it, to all or to some."""

    __slots__ = ("_kind", "_shape", "origin", "serial", "session", "shadow", "tasks")
    __array_priority__ = 100
    __pandas_priority__ = 10_000  # series * secret is for the secret to compute
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, session: Session, tasks: tuple[Task[Share], ...], shape: Shape, kind: Kind, serial: int
    ) -> None:
        self.session, self.tasks, self._shape, self._kind, self.serial = session, tasks, shape, kind, serial
        self.shadow: Shadow | None = None  # of sessions that check
        # where its elements are known to come from secret permutations
        self.origin: Origin | None = None

    @property
    def shape(self) -> Shape:
        return self._shape

    @property
    def kind(self) -> Kind:
        """How the numbers are laid into the ring: ``INT``, ``BOOL`` or ``Fixed(f)``."""
        return self._kind

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        n = 1
        for d in self.shape:
            n *= d
        return n

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of such numbers: of truth values, of integers, of reals."""
        return np.dtype(bool if self.kind == BOOL else float if self.kind.fraction else np.int64)

    @property
    def device(self) -> str:
        """NumPy's: every party computes on its processor."""
        return "cpu"

    def to_device(self, device: str, /, *, stream: Any = None) -> Secret:
        if device != "cpu" or stream is not None:
            raise ValueError(f"secrets are on the device cpu, not on {device!r}, and there are no streams")
        return self

    def __array_namespace__(self, /, *, api_version: Any = None) -> Any:
        """NumPy, whose functions are the Array API's, by the standard's names: they take secrets as they take
        arrays.
        """
        return np.empty(0).__array_namespace__(api_version=api_version)

    @property
    def T(self) -> Secret:
        return call(np.transpose, self)

    @property
    def mT(self) -> Secret:
        return call(np.matrix_transpose, self)

    @property
    def real(self) -> Secret:
        return self

    @property
    def imag(self) -> Secret:
        return call(np.imag, self)

    def reveal(self, to: int | Sequence[int] | None = None) -> Any:
        """The value, to every party, or to party ``to`` or several, ``to=[0, 2]``, alone (elsewhere
        ``None``).  One round.
        """
        return self.session.reveal(self, to=to)

    # -- NumPy's methods ---------------------------------------------------------------------------

    sum, prod, mean, var, std = map(_method, (np.sum, np.prod, np.mean, np.var, np.std))
    min, max, argmin, argmax, any, all = map(_method, (np.min, np.max, np.argmin, np.argmax, np.any, np.all))
    cumsum, cumprod, trace, round = map(_method, (np.cumsum, np.cumprod, np.trace, np.round))
    argsort, searchsorted, take, choose = map(_method, (np.argsort, np.searchsorted, np.take, np.choose))
    ravel, flatten, squeeze, swapaxes = map(_method, (np.ravel, np.ravel, np.squeeze, np.swapaxes))
    repeat, diagonal, dot = map(_method, (np.repeat, np.diagonal, np.dot))
    nonzero, conj, conjugate, argpartition = map(_method, (np.nonzero, np.conj, np.conj, np.argpartition))

    def reshape(self, *shape: Any, **options: Any) -> Secret:
        return call(np.reshape, self, shape[0] if len(shape) == 1 else shape, **options)

    def transpose(self, *axes: Any) -> Secret:
        return call(np.transpose, self, (axes[0] if len(axes) == 1 else axes) or None)

    def clip(self, min: Any = None, max: Any = None, **options: Any) -> Secret:
        return call(np.clip, self, options.pop("a_min", min), options.pop("a_max", max), **options)

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> Secret:
        if not np.can_cast(self.dtype, dtype, casting):
            raise TypeError(
                f"a secret of type {self.dtype} is not cast to {np.dtype(dtype)} by the rule {casting!r}"
            )
        return call(np.astype, self, dtype)

    def copy(self, order: str = "C") -> Secret:
        return self  # immutable: there is nothing to protect it from

    def __round__(self, digits: int | None = None) -> Secret:
        return call(np.round, self, digits or 0)

    def __getitem__(self, index: Any) -> Secret:
        if any(s.kind == BOOL for s in secrets_in(index)):
            raise TypeError(
                "a secret mask would show how many elements it takes: np.where(mask, x, other) and "
                "x.at[mask].set(y) keep them all, np.count_nonzero(mask) counts them"
            )
        if secrets_in(index):
            raise TypeError(
                "a secret cannot be an index: which element is read would show; np.take(x, index, axis=0)"
                " does not show it"
            )
        index = deepcopy(index)  # it is looked at when this secret is computed
        return cast(Secret, followed(self.session, "indexing", operator.getitem, _index, (self, index), {}))

    @property
    def at(self) -> Places:
        """``x.at[index].set(y)`` is x with y there, a new secret; so are ``.add``, ``.multiply``, ``.min``
        and ``.max``.
        """
        return self.session.numpy.Places(self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a secret without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Secret]:
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name in _NO_METHOD:
            raise NoAttribute(f"ndarray.{name} of a secret {_NO_METHOD[name].format(name=name)}")
        raise AttributeError(f"a secret has no '{name}'; docs/numpy.md lists what it has")

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError("a secret cannot be formatted as a number; call .reveal()")
        return repr(self)

    # -- what would leak ---------------------------------------------------------------------------

    def __bool__(self) -> bool:
        raise TypeError(
            "a secret cannot decide a branch; compute both sides and choose with np.where, or reveal what may"
            " be known (np.max, np.min and np.sort compare secrets, Python's max, min and sorted branch)"
        )

    def __int__(self) -> int:
        raise TypeError("a secret does not become a number by itself; call .reveal()")

    __float__ = __complex__ = __index__ = __int__

    def __array__(self, *args: Any, **kwargs: Any) -> NDArray:
        raise TypeError(
            "a secret does not become an ndarray by itself; call .reveal(), np.stack for several secrets "
            "(np.lexsort takes a tuple of them), or mpc.take to read a public array at secret positions"
        )

    def __iadd__(self, other: Any) -> Secret:  # x += y gives the name x to a new secret
        return call(np.add, self, other)

    def __isub__(self, other: Any) -> Secret:
        return call(np.subtract, self, other)

    def __imul__(self, other: Any) -> Secret:
        return call(np.multiply, self, other)

    def __itruediv__(self, other: Any) -> Secret:
        return call(np.true_divide, self, other)

    def __imatmul__(self, other: Any) -> Secret:
        return call(np.matmul, self, other)

    def __ipow__(self, other: Any) -> Secret:
        return call(np.power, self, other)

    def __ifloordiv__(self, other: Any) -> Secret:
        return call(np.floor_divide, self, other)

    def __imod__(self, other: Any) -> Secret:
        return call(np.remainder, self, other)

    def __iand__(self, other: Any) -> Secret:
        return call(np.bitwise_and, self, other)

    def __ior__(self, other: Any) -> Secret:
        return call(np.bitwise_or, self, other)

    def __ixor__(self, other: Any) -> Secret:
        return call(np.bitwise_xor, self, other)

    def __ilshift__(self, other: Any) -> Secret:
        return call(np.left_shift, self, other)

    def __irshift__(self, other: Any) -> Secret:
        return call(np.right_shift, self, other)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "secrets are immutable: x = x.at[index].set(y) gives the name to a new one; a view of the old one"
            " keeps its values"
        )

    def __reduce__(self) -> Any:
        raise TypeError("a secret cannot be pickled or copied out of its session")

    def __repr__(self) -> str:
        return f"<Secret {self.kind} array {self.shape}, {self.session.suites[0].name}>"

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows = {
            "shape": self.shape,
            "kind": self.kind,
            "suite": self.session.suites[0].name,
            "parties": self.session.size,
        }
        lines = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in rows.items())
        return f"<b>Secret</b><table>{lines}</table>"

    # -- dispatch ----------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        names = self.session.numpy
        name = f"np.{ufunc.__name__}" if method == "__call__" else f"np.{ufunc.__name__}.{method}"
        make = names.METHODS.get(method, {}).get(ufunc)
        if make is None:
            raise names.refusal(name, ufunc)
        if method in ("reduce", "accumulate"):
            kwargs.setdefault("axis", 0)
            plain = getattr(ufunc, method)
            return followed(self.session, name, plain, make, inputs, names.taken(name, make, kwargs))
        if method == "outer":
            x, y = inputs
            return ufunc(np.reshape(x, (*np.shape(x), *(1,) * np.ndim(y))), y, **kwargs)
        if ufunc.signature is None:
            _fitting(
                name,
                *[
                    numeric(x, "a public operand").shape if isinstance(x, list | tuple) else x.shape
                    for x in inputs
                    if isinstance(x, Secret | np.ndarray | list | tuple)
                ],
            )
        if kwargs:
            inputs, kwargs = self._computed_in(name, ufunc, inputs, kwargs), names.taken(name, make, kwargs)
        return followed(self.session, name, ufunc, make, inputs, kwargs)

    @staticmethod
    def _computed_in(name: str, ufunc: np.ufunc, inputs: Any, kwargs: dict[str, Any]) -> Any:
        """The operands in the type that ``dtype`` asks for, by NumPy's rules: what it refuses, it refuses
        here.
        """
        dtype, casting = kwargs.pop("dtype", None), kwargs.pop("casting", "same_kind")
        if dtype is None:
            return inputs
        few = [np.empty(0, x.dtype if isinstance(x, Secret) else np.asarray(x).dtype) for x in inputs]
        made, asked = ufunc(*few), ufunc(*few, dtype=dtype, casting=casting)
        if [a.dtype for a in listed(made)] == [a.dtype for a in listed(asked)]:
            return inputs
        return [
            call(np.astype, x, dtype) if isinstance(x, Secret) else np.asarray(x).astype(dtype)
            for x in inputs
        ]

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        names = self.session.numpy
        make, name = names.FUNCTIONS.get(func), f"{func.__module__.replace('numpy', 'np', 1)}.{func.__name__}"
        if make is None:
            raise names.refusal(name, func)
        args, kwargs = names.normal(name, func, make, args, kwargs)
        return followed(self.session, name, func, make, args, kwargs)


def _fitting(name: str, *shapes: Shape) -> None:
    if len(set(shapes)) > 1:
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            raise ValueError(
                f"{name}: the shapes {' and '.join(map(str, shapes))} do not fit: axes, counted from the"
                " last, are equally long or have one element; x[:, None] or np.reshape make such axes"
            ) from None


def listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, list | tuple) else [x]


def followed(
    session: Session,
    name: str,
    plain: Callable[..., Any] | None,
    make: Callable[..., Any],
    args: Any,
    kwargs: Any,
) -> Any:
    """``make(*args, **kwargs)``; in a session that checks, ``plain`` does the same in the clear
    (``protocols/numpy/shadow.py``).
    """
    check = session.check
    try:
        return make(*args, **kwargs) if check is None else check.follow(name, plain, make, args, kwargs)
    except np.exceptions.AxisError as error:
        if error.axis is None or error.ndim is None:
            raise
        raise np.exceptions.AxisError(error.axis, error.ndim, name) from None
    except ValueError as error:
        said = error.__cause__ or error  # what a function that this one calls was told
        if type(said) is not ValueError or any(word in str(said) for word in (name, "np.", "mpc.")):
            raise
        raise ValueError(f"{name}: {said}") from said


def beside(name: str, plain: Callable[..., Any] | None) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """What a function that NumPy lacks is on arrays; ``None`` where it puts rows in an order that nobody
    knows.
    """

    def decorate(make: Callable[P, T]) -> Callable[P, T]:
        @wraps(make)
        def function(*args: P.args, **kwargs: P.kwargs) -> T:
            secret = next((x for x in (*args, *kwargs.values()) if isinstance(x, Secret)), None)
            return (
                make(*args, **kwargs)
                if secret is None
                else cast(T, followed(secret.session, name, plain, make, args, kwargs))
            )

        return function

    return decorate


def _index(x: Secret, index: Any) -> Secret:
    return cast(Secret, structural("index", lambda a: np.asarray(a[index]), x, public=index))


def call(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Secret:
    """A NumPy function of secrets, which NumPy hands to ``__array_function__``: the result is a secret."""
    return cast(Secret, func(*args, **kwargs))


def secrets_in(x: Any) -> list[Secret]:
    """All secrets in nested lists and tuples."""
    if isinstance(x, Secret):
        return [x]
    return [s for item in x for s in secrets_in(item)] if isinstance(x, list | tuple) else []


def find_session(x: Any) -> Session:
    return secrets_in(list(x))[0].session


@dataclass(slots=True, eq=False)
class Permutations:
    """Secret orders of 0 to n−1, side by side: the columns of ``forward``; and what undoes each, once it has
    been asked for.
    """

    forward: Secret
    inverse: Secret | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """An array's elements are those of secret permutations at these public places, counted through (n, m).

    Whatever moves elements keeps that, whatever computes loses it.  Rows go to such positions in linear time
    (``protocols/ops/moving.py``)."""

    permutations: Permutations
    places: NDArray


def permutation(forward: Secret, inverse: Secret | None = None) -> Secret:
    """Integers (n, m) whose columns are known to be orders of 0 to n−1, marked as such."""
    forward.origin = Origin(Permutations(forward, inverse), np.arange(forward.size).reshape(forward.shape))
    return forward


def _carried(f: Callable[..., Any], x: Secret, moved: list[Secret]) -> None:
    """What is known of x is known of its elements where f has moved them; what f puts between them, zeros, is
    not.
    """
    if x.origin is not None:
        places = f(x.origin.places + 1)
        for y, at in zip(moved, places if isinstance(places, list | tuple) else [places], strict=True):
            if np.all(at > 0):
                y.origin = Origin(x.origin.permutations, np.asarray(at) - 1)


def structural(label: str, f: Callable[..., Any], *xs: Secret, public: object = None) -> Any:
    """A function of ndarrays that moves elements around, on secrets of one kind.  Local."""
    kinds = {x.kind for x in xs}
    assert len(kinds) == 1
    shapes = f(*(np.empty(x.shape, "V0") for x in xs))
    session, kind = xs[0].session, xs[0].kind
    if not isinstance(shapes, list | tuple):

        async def one(suite: Suite, *shares: Share) -> Share:
            return cast(Share, lift(f, *shares))

        moved = session.spawn(label, one, xs, shapes.shape, kind, public)
        if len(xs) == 1:
            _carried(f, xs[0], [moved])
        return moved

    def nth(i: int) -> Callable[..., Any]:
        async def one_of(suite: Suite, *shares: Share) -> Share:
            return cast(Share, lift(lambda *arrays: f(*arrays)[i], *shares))

        return one_of

    pieces = [session.spawn(label, nth(i), xs, piece.shape, kind, public) for i, piece in enumerate(shapes)]
    if len(xs) == 1:
        _carried(f, xs[0], pieces)
    return pieces


def constant(session: Session, values: Any, kind: Kind) -> Secret:
    """A public value among secrets; or ring elements, which are read as this kind."""
    array: RingArray = values if isinstance(values, RingArray) else session.public(values, kind)

    async def protocol(suite: Suite) -> Share:
        return suite.constant(array)

    return session.spawn("constant", protocol, (), array.shape, kind, array)


def retyped(x: Secret, kind: Kind) -> Secret:
    """The same ring elements read as another kind.  Local, and nothing is computed."""
    return x if x.kind == kind else Secret(x.session, x.tasks, x.shape, kind, x.serial)


def rescaled(x: Secret, kind: Kind) -> Secret:
    """x with more fractional bits, or truth values as integers.  Local."""
    bits = kind.fraction - x.kind.fraction
    if bits == 0:
        return retyped(x, kind)
    if bits < 0:
        raise MpcError("cannot drop fractional bits without a truncation")

    async def protocol(suite: Suite, x: Share) -> Share:
        return x * x.ring(1 << bits)

    return x.session.spawn("rescale", protocol, (x,), x.shape, kind)


def common_kind(session: Session, *xs: Any) -> Kind:
    """The kind that secrets and public numbers meet in: the most fractional bits among them."""
    fraction = max(x.kind.fraction for x in xs if isinstance(x, Secret))
    if all(x.kind == BOOL if isinstance(x, Secret) else numeric(x).dtype.kind == "b" for x in xs):
        return BOOL
    if fraction == 0 and any(
        not isinstance(x, Secret) and numeric(x, "a public operand").dtype.kind == "f" for x in xs
    ):
        return session.fixed
    return Fixed(fraction) if fraction else INT


def unified(*xs: Any) -> list[Secret]:
    """Secrets and public arrays as secrets of one kind.  Local."""
    session = find_session(xs)
    kind = common_kind(session, *xs)
    return [rescaled(x, kind) if isinstance(x, Secret) else constant(session, x, kind) for x in xs]
