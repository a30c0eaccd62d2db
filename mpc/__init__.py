"""Secure multi-party computation for NumPy.

``mpc.local()`` makes a session of all parties in this process, and ``mpc.local(3).run(main)`` runs a program
``main(party)`` once for each; ``party`` is a ``mpc.Session``, what it shares a ``mpc.Secret``.  Between
processes and machines that is ``mpc run`` and ``mpc party`` of the command line.  ``mpc.__version__`` is this
engine's version.

``import mpc`` is all a user needs: names are loaded when they are first used, the primitives from this
package and what is built on them from ``protocols`` (the one place where ``mpc`` looks upwards).
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mpc.encoding import BOOL as BOOL
    from mpc.encoding import INT as INT
    from mpc.encoding import Fixed as Fixed
    from mpc.errors import AggregationFailed as AggregationFailed
    from mpc.errors import AggregationRefused as AggregationRefused
    from mpc.errors import BudgetSpent as BudgetSpent
    from mpc.errors import ConfigError as ConfigError
    from mpc.errors import DesyncError as DesyncError
    from mpc.errors import EncodingError as EncodingError
    from mpc.errors import HandshakeError as HandshakeError
    from mpc.errors import MpcError as MpcError
    from mpc.errors import PartyLost as PartyLost
    from mpc.errors import RangeError as RangeError
    from mpc.errors import TransportError as TransportError
    from mpc.errors import WireError as WireError
    from mpc.rounds import Message as Message
    from mpc.rounds import Recorder as Recorder
    from mpc.rounds import exchange as exchange
    from mpc.rounds import gather as gather
    from mpc.rounds import simulate as simulate
    from protocols.aggregation.service.member import aggregation_client as aggregation_client
    from protocols.array.secret import Secret as Secret
    from protocols.array.session import Session as Session
    from protocols.ops.exponential import sigmoid as sigmoid
    from protocols.ops.exponential import softmax as softmax
    from protocols.ops.roots import rsqrt as rsqrt
    from protocols.ops.selection import one_hot as one_hot
    from protocols.ops.selection import take as take
    from protocols.ops.selection import unique_counts as unique_counts
    from protocols.ops.sets import intersect1d as intersect1d
    from protocols.ops.sets import setdiff1d as setdiff1d
    from protocols.ops.sets import setxor1d as setxor1d
    from protocols.ops.sets import union1d as union1d
    from protocols.ops.sets import unique as unique
    from protocols.ops.sorting import shuffle as shuffle
    from protocols.ops.sorting import top_k as top_k
    from protocols.running.local import local as local

_HOME = {
    **dict.fromkeys(
        (
            "AggregationFailed",
            "AggregationRefused",
            "BudgetSpent",
            "ConfigError",
            "DesyncError",
            "EncodingError",
            "HandshakeError",
            "MpcError",
            "PartyLost",
            "RangeError",
            "TransportError",
            "WireError",
        ),
        "mpc.errors",
    ),
    **dict.fromkeys(("BOOL", "INT", "Fixed"), "mpc.encoding"),
    **dict.fromkeys(("Message", "Recorder", "exchange", "gather", "simulate"), "mpc.rounds"),
    **dict.fromkeys(("one_hot", "take", "unique_counts"), "protocols.ops.selection"),
    **dict.fromkeys(("intersect1d", "setdiff1d", "setxor1d", "union1d", "unique"), "protocols.ops.sets"),
    **dict.fromkeys(("shuffle", "top_k"), "protocols.ops.sorting"),
    "aggregation_client": "protocols.aggregation.service.member",
    "rsqrt": "protocols.ops.roots",
    "sigmoid": "protocols.ops.exponential",
    "softmax": "protocols.ops.exponential",
    "Secret": "protocols.array.secret",
    "Session": "protocols.array.session",
    "local": "protocols.running.local",
}
__all__ = sorted(_HOME)  # noqa: PLE0605


def _bind_protocols() -> None:
    """Load ``protocols`` from where this package lies: a file or folder of that name may come first on
    ``sys.path``.
    """
    file = Path(__file__).parent.with_name("protocols") / "__init__.py"
    there = sys.modules.get("protocols")
    if there is None:
        spec = spec_from_file_location("protocols", file, submodule_search_locations=[str(file.parent)])
        assert spec is not None and spec.loader is not None
        sys.modules["protocols"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
    elif getattr(there, "__file__", None) is None or not file.samefile(str(there.__file__)):
        raise ImportError(
            f"mpc has a package 'protocols', and another one of that name was imported before, {there!r}: "
            "import mpc first, or give the other one another name"
        )


_bind_protocols()


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'mpc' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
