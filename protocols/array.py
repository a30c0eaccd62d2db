"""The array a user computes with: NumPy on the outside, shares on the inside.

Two tables say what NumPy's ufuncs and functions mean on secrets, one line per operation.  Whatever is
not in them raises ``NotImplementedError`` with its name; what would leak or cannot work raises
``TypeError`` and says what to do instead.  Nothing ever turns into an array of objects.
"""
from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import numpy as np

from mpc.encoding import BOOL, INT, Fixed, Kind, numeric
from mpc.errors import MpcError
from mpc.ring import NDArray, RingArray, Shape
from mpc.rounds import Task
from protocols.suite import Share, Suite, lift

if TYPE_CHECKING:
    from protocols.ops.updates import Places
    from protocols.session import Session
    from protocols.shadow import Shadow

P = ParamSpec("P")
T = TypeVar("T")


class Secret(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that no single party can read.  ``reveal()`` opens it, to all or to some."""

    __slots__ = ("_kind", "_shape", "origin", "serial", "session", "shadow", "tasks")
    __array_priority__ = 100
    __pandas_priority__ = 10_000                    # series * secret is for the secret to compute
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, session: Session, tasks: tuple[Task[Share], ...], shape: Shape, kind: Kind, serial: int) -> None:
        self.session, self.tasks, self._shape, self._kind, self.serial = session, tasks, shape, kind, serial
        self.shadow: Shadow | None = None           # of sessions that check
        self.origin: Origin | None = None           # where its elements are known to come from secret permutations

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
    def T(self) -> Secret:
        return call(np.transpose, self)

    def reveal(self, to: int | Sequence[int] | None = None) -> Any:
        """The value, to every party, or to party ``to`` or several, ``to=[0, 2]``, alone (elsewhere ``None``).  One round."""
        return self.session.reveal(self, to=to)

    # -- NumPy's methods ---------------------------------------------------------------------------

    def sum(self, axis: Any = None, keepdims: bool = False) -> Secret:
        return call(np.sum, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Secret:
        return call(np.mean, self, axis=axis, keepdims=keepdims)

    def var(self, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Secret:
        return call(np.var, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Secret:
        return call(np.std, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def cumsum(self, axis: Any = None) -> Secret:
        return call(np.cumsum, self, axis=axis)

    def cumprod(self, axis: Any = None) -> Secret:
        return call(np.cumprod, self, axis=axis)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Secret:
        return call(np.prod, self, axis=axis, keepdims=keepdims)

    def dot(self, other: Any) -> Secret:
        return call(np.dot, self, other)

    def trace(self, offset: int = 0) -> Secret:
        return call(np.trace, self, offset)

    def diagonal(self, offset: int = 0) -> Secret:
        return call(np.diagonal, self, offset)

    def reshape(self, *shape: Any) -> Secret:
        return call(np.reshape, self, shape[0] if len(shape) == 1 else shape)

    def ravel(self) -> Secret:
        return call(np.ravel, self)

    flatten = ravel

    def transpose(self, *axes: Any) -> Secret:
        return call(np.transpose, self, (axes[0] if len(axes) == 1 else axes) or None)

    def swapaxes(self, a: int, b: int) -> Secret:
        return call(np.swapaxes, self, a, b)

    def squeeze(self, axis: Any = None) -> Secret:
        return call(np.squeeze, self, axis)

    def repeat(self, repeats: Any, axis: int | None = None) -> Secret:
        return call(np.repeat, self, repeats, axis)

    def take(self, indices: Any, axis: int | None = None) -> Secret:
        return call(np.take, self, indices, axis)

    def min(self, axis: Any = None, keepdims: bool = False) -> Secret:
        return call(np.min, self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Secret:
        return call(np.max, self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: Any = None, keepdims: bool = False) -> Secret:
        return call(np.argmin, self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: Any = None, keepdims: bool = False) -> Secret:
        return call(np.argmax, self, axis=axis, keepdims=keepdims)

    def any(self, axis: Any = None, keepdims: bool = False) -> Secret:
        return call(np.any, self, axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Secret:
        return call(np.all, self, axis=axis, keepdims=keepdims)

    def clip(self, a_min: Any = None, a_max: Any = None) -> Secret:
        return call(np.clip, self, a_min, a_max)

    def searchsorted(self, v: Any, side: str = "left") -> Secret:
        return call(np.searchsorted, self, v, side)

    def round(self, decimals: int = 0) -> Secret:
        return call(np.round, self, decimals)

    def copy(self) -> Secret:
        return self                                 # immutable: there is nothing to protect it from

    def __getitem__(self, index: Any) -> Secret:
        if any(s.kind == BOOL for s in secrets_in(index)):
            raise TypeError("a secret mask would show how many elements it takes: np.where(mask, x, other) and "
                            "x.at[mask].set(y) keep them all, np.count_nonzero(mask) counts them")
        if secrets_in(index):
            raise TypeError("a secret cannot be an index: which element is read would show; np.take(x, index, axis=0) does not show it")
        index = deepcopy(index)                     # it is looked at when this secret is computed
        return cast(Secret, followed(self.session, "indexing", operator.getitem, _index, (self, index), {}))

    @property
    def at(self) -> Places:
        """``x.at[index].set(y)`` is x with y there, a new secret; so are ``.add``, ``.multiply``, ``.min`` and ``.max``."""
        from protocols.ops.updates import Places
        return Places(self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a secret without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Secret]:
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if hasattr(np.ndarray, name) and not name.startswith("_"):
            raise NotImplementedError(f"ndarray.{name} on secrets is not available yet")
        raise AttributeError(f"a secret has no '{name}'")

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError("a secret cannot be formatted as a number; call .reveal()")
        return repr(self)

    # -- what would leak ---------------------------------------------------------------------------

    def __bool__(self) -> bool:
        raise TypeError("a secret cannot decide a branch; compute both sides and reveal what may be known")

    def __int__(self) -> int:
        raise TypeError("a secret does not become a number by itself; call .reveal()")

    __float__ = __complex__ = __index__ = __int__

    def __array__(self, *args: Any, **kwargs: Any) -> NDArray:
        raise TypeError("a secret does not become an ndarray by itself; call .reveal(), np.stack for several secrets, "
                        "or mpc.take to read a public array at secret positions")

    def __iadd__(self, other: Any) -> Secret:       # x += y gives the name x to a new secret
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
        raise TypeError("secrets are immutable: x = x.at[index].set(y) gives the name to a new one; a view of the old one keeps "
                        "its values")

    def __reduce__(self) -> Any:
        raise TypeError("a secret cannot be pickled or copied out of its session")

    def __repr__(self) -> str:
        return f"<Secret {self.kind} array {self.shape}, {self.session.suites[0].name}>"

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows = {"shape": self.shape, "kind": self.kind, "suite": self.session.suites[0].name, "parties": self.session.size}
        return f"<b>Secret</b><table>{''.join(f'<tr><td>{name}</td><td>{value}</td></tr>' for name, value in rows.items())}</table>"

    # -- dispatch ----------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from protocols.tables import ACCUMULATIONS, REDUCTIONS, UFUNCS
        name = f"np.{ufunc.__name__}"
        if kwargs.get("out") is not None:
            raise TypeError(f"{name}: secrets are immutable; there is no out= (and no in-place operator on an ndarray)")
        if method == "reduce" and ufunc in REDUCTIONS:
            kwargs.setdefault("axis", 0)
            return followed(self.session, f"{name}.reduce", ufunc.reduce, REDUCTIONS[ufunc], inputs, kwargs)
        if method == "accumulate" and ufunc in ACCUMULATIONS:
            return followed(self.session, f"{name}.accumulate", ufunc.accumulate, ACCUMULATIONS[ufunc], inputs, kwargs)
        if method == "outer" and ufunc is np.multiply:
            return np.outer(*inputs).reshape(np.shape(inputs[0]) + np.shape(inputs[1]))
        make = UFUNCS.get(ufunc) if method == "__call__" else None
        if make is None:
            raise NotImplementedError(f"{name}{'' if method == '__call__' else '.' + method} on secrets is not available yet")
        if kwargs:
            raise NotImplementedError(f"{name} on secrets takes no {', '.join(kwargs)}=")
        return followed(self.session, name, ufunc, make, inputs, {})

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        from protocols.tables import FUNCTIONS
        make, name = FUNCTIONS.get(func), f"{func.__module__.replace('numpy', 'np', 1)}.{func.__name__}"
        if make is None:
            raise NotImplementedError(f"{name} on secrets is not available yet")
        try:
            return followed(self.session, name, func, make, args, kwargs)
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                option = str(error).split("'")[1]
                raise NotImplementedError(f"np.{func.__name__} on secrets takes no {option}=") from None
            raise


def followed(session: Session, name: str, plain: Callable[..., Any] | None, make: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """``make(*args, **kwargs)``; in a session that checks, ``plain`` does the same in the clear (``protocols/shadow.py``)."""
    check = session.check
    return make(*args, **kwargs) if check is None else check.follow(name, plain, make, args, kwargs)


def beside(name: str, plain: Callable[..., Any] | None) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """What a function that NumPy lacks is on arrays; ``None`` where it puts rows in an order that nobody knows."""
    def decorate(make: Callable[P, T]) -> Callable[P, T]:
        @wraps(make)
        def function(*args: P.args, **kwargs: P.kwargs) -> T:
            secret = next((x for x in (*args, *kwargs.values()) if isinstance(x, Secret)), None)
            return make(*args, **kwargs) if secret is None else cast(T, followed(secret.session, name, plain, make, args, kwargs))
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
    """Secret orders of 0 to n−1, side by side: the columns of ``forward``; and what undoes each, once it has been asked for."""

    forward: Secret
    inverse: Secret | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """An array's elements are those of secret permutations at these public places, counted through (n, m).

    Whatever moves elements keeps that, whatever computes loses it.  Rows go to such positions in linear time (``protocols/ops/moving.py``).
    """

    permutations: Permutations
    places: NDArray


def permutation(forward: Secret, inverse: Secret | None = None) -> Secret:
    """Integers (n, m) whose columns are known to be orders of 0 to n−1, marked as such."""
    forward.origin = Origin(Permutations(forward, inverse), np.arange(forward.size).reshape(forward.shape))
    return forward


def _carried(f: Callable[..., Any], x: Secret, moved: list[Secret]) -> None:
    """What is known of x is known of its elements where f has moved them; what f puts between them, zeros, is not."""
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
    if fraction == 0 and any(not isinstance(x, Secret) and numeric(x, "a public operand").dtype.kind == "f" for x in xs):
        return session.fixed
    return Fixed(fraction) if fraction else INT


def unified(*xs: Any) -> list[Secret]:
    """Secrets and public arrays as secrets of one kind.  Local."""
    session = find_session(xs)
    kind = common_kind(session, *xs)
    return [rescaled(x, kind) if isinstance(x, Secret) else constant(session, x, kind) for x in xs]

