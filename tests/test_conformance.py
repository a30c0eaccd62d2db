"""``python -m mpc.conformance`` passes what is right and names what is not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mpc.conformance import main
from mpc.errors import CheatError, ConfigError
from mpc.ring import Z64, RingArray, Spec, zeros_like
from mpc.rounds import exchange, gather
from protocols.conformance import report
from protocols.conformance.operations import ARITHMETIC, COMPARISON, PUBLIC_OPERANDS
from protocols.conformance.views import coalitions
from protocols.suite import Share, Suite, broadcast
from protocols.suites.replicated import Replicated
from protocols.threat import Cost, Threat

ROOT = Path(__file__).parent.parent
FEW = [*ARITHMETIC[::4], *PUBLIC_OPERANDS[::6], *COMPARISON[::9]]


def conformance(kind: type[Suite] | str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """The command's exit code and words, with few of the operations."""
    monkeypatch.setattr(report, "sections", partial(report.sections, table=FEW))
    done = CliRunner().invoke(main, [kind if isinstance(kind, str) else f"test_conformance:{kind.__name__}"])
    return done.exit_code, done.output


def test_replicated_conforms(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = conformance("replicated", monkeypatch)
    said = output.splitlines()
    assert code == 0, output
    assert [line.split(":")[0] for line in said] == [
        "values, integers",
        "values, fixed point",
        "openings",
        "costs",
        "views",
        "adversary",
        "adversary",
        "conforms",
    ]
    assert "semi-honest: it does not claim to hold against this" in said[5]


class Adds(Replicated):
    """``truncate`` is wrong by 2^20 units."""

    async def truncate(self, x: Share, bits: int) -> Share:
        return await super().truncate(x, bits) + x.ring(np.full(x.shape, 1 << 20))


class Forgets(Replicated):
    """``bilinear`` leaves out terms of the second operand."""

    async def bilinear(self, f: Any, x: Share, y: Share, bits: int = 0) -> Share:
        return await super().bilinear(f, x, Share(self, (y.parts[0], zeros_like(y.parts[1]))), bits)


@pytest.mark.parametrize(
    ("kind", "named"),
    [(Adds, "fixed point: FAILED / int: off by"), (Forgets, "integers: FAILED square: off by")],
)
def test_a_wrong_operation_is_named(kind: type[Suite], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = conformance(kind, monkeypatch)
    assert code == 1 and named in said and "does not conform" in said


class Bare(Replicated):
    """No comparisons."""

    async def signs(self, x: Share) -> Share:
        raise NotImplementedError("no comparison here")


def test_what_a_scheme_refuses_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = conformance(Bare, monkeypatch)
    assert code == 0, said
    assert "views: 2 refused: no comparison here" in said
    refused = [line for line in said.splitlines() if line.endswith("refused: no comparison here")]
    assert [line.split(":")[0] for line in refused] == ["values, integers", "values, fixed point", "views"]


class Idle(Replicated):
    """No products."""

    async def bilinear(self, f: Any, x: Share, y: Share, bits: int = 0) -> Share:
        raise NotImplementedError("no products here")


def test_but_not_arithmetic() -> None:
    section = report.of_values("values", "test_conformance:Idle", 3, 64, 0, ARITHMETIC)
    assert "multiply: refused, and nothing works without it (no products here)" in section.failures
    assert section.said[0] == f"{len(ARITHMETIC) - len(section.failures)} operations agree with NumPy"


class Dear(Replicated):
    """What it declares is not what it takes."""

    costs = {  # noqa: RUF012
        **Replicated.costs,
        "open": Cost(2, lambda n, ring: 3, ""),
        "matmul": Cost(1, lambda n, ring: 5, ""),
    }


def test_costs_that_are_not_those_declared() -> None:
    section = report.of_costs(Dear, 3, Z64)
    assert "open of Z_2^64[1]: 1 round, declared 2" in section.failures
    assert "matmul of Z_2^64[3, 4] and Z_2^64[4, 2]: 144 bytes, declared 240" in section.failures
    assert section.said == [
        "rounds and bytes are as declared for input, multiply, truncate, multiply and truncate"
    ]


class Clear(Replicated):
    """An input is told to everybody."""

    async def input(self, owner: int, value: RingArray | None, spec: Spec) -> Share:
        told = await broadcast(self.seat, value or spec.ring.zeros(spec.shape), tag="input")
        return self.constant(told[owner][0])


class Short:
    """Of a stream's elements the lower bits."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def draw(self, spec: Spec) -> RingArray:
        return self._stream.draw(spec).low(60)


class Thin(Replicated):
    """Masks of inputs lack four bits."""

    def _key(self, part: int) -> Any:
        return Short(super()._key(part))


def test_views_of_inputs_that_are_not_hidden() -> None:
    clear, thin = (report.of_views(kind, 3, Z64).failures for kind in (Clear, Thin))
    assert "input of party 1: input, array 0: does not change with the keys that its receivers lack" in clear
    assert "input of party 1: input: what a party is sent is not uniform" in thin


class Loud(Replicated):
    """What is opened to some is opened to all."""

    async def open(self, *xs: Share, to: Any = None, tag: str = "open") -> tuple[RingArray, ...]:
        return await super().open(*xs, tag=tag)


class Polite(Loud):
    """As much is sent, and not shown."""

    async def open(self, *xs: Share, to: Any = None, tag: str = "open") -> tuple[RingArray, ...]:
        opened = await super().open(*xs, tag=tag)
        return opened if to is None or self.seat.rank in to else ()


class Partial(Replicated):
    """One party gets other numbers."""

    async def open(self, *xs: Share, to: Any = None, tag: str = "open") -> tuple[RingArray, ...]:
        opened = await super().open(*xs, to=to, tag=tag)
        return tuple(x + x.ring(1) if x.size > 5 and self.seat.rank == 2 else x for x in opened)


class Known(Replicated):
    """What should be nobody's is everybody's."""

    async def random(self, spec: Spec, below: int | None = None) -> Share:
        return self.constant(self.seat.common.draw(spec))


class Fixed(Replicated):
    """There is one random number."""

    async def random(self, spec: Spec, below: int | None = None) -> Share:
        return self.constant(spec.ring.zeros(spec.shape))


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (Loud, "an array (7,) opened to (1,): party 0 gets it"),
        (Polite, "an array (7,) opened to (1,): party 0 is sent messages"),
        (Partial, "an array (7,) opened to all: party 2 gets other numbers"),
        (Known, "a random number: the parties [0] know it"),
        (Fixed, "a random number: the next is the same"),
    ],
)
def test_what_is_opened_otherwise_is_named(kind: type[Suite], named: str) -> None:
    assert named in report.of_openings(kind, 3, Z64).failures


def test_parties_that_get_different_numbers_of_an_operation_are_named() -> None:
    section = report.of_values("values", "test_conformance:Partial", 3, 64, 0, ARITHMETIC[:2])
    assert "add: parties get different numbers" in section.failures


class Silent(Replicated):
    """It does not say what it takes."""

    costs = {}  # noqa: RUF012


def test_costs_have_to_be_declared() -> None:
    assert report.of_costs(Silent, 3, Z64).failures == [
        f"the cost of '{name}' is not declared" for name in ("input", "open", "multiply")
    ]


class Claims(Replicated):
    """It says more of itself than it does."""

    threat = Threat("malicious", "1 of 3")


class Twice(Claims):
    """Every product is made twice, and what is opened comes from both who have it: no single bent frame
    passes.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._due: list[Share] = []

    async def bilinear(self, f: Any, x: Share, y: Share, bits: int = 0) -> Share:
        one, other = await gather(*(Replicated.bilinear(self, f, x, y, bits) for _ in range(2)))
        self._due.append(one - other)
        return one

    async def open(self, *xs: Share, to: Any = None, tag: str = "open") -> tuple[RingArray, ...]:
        send = {p: tuple(x.parts[i] for x in xs) for i, p in enumerate((self._next, self._previous))}
        inbox = await exchange(send, dict.fromkeys(send, tuple(x.spec for x in xs)), tag)
        for one, other in zip(*inbox.values(), strict=True):
            if one.data.tobytes() != other.data.tobytes():
                raise CheatError("two parties have sent different parts")
        return tuple(x.parts[0] + x.parts[1] + part for x, part in zip(xs, inbox[self._next], strict=True))

    async def check(self) -> None:
        due, self._due = self._due, []
        if due and any(difference.data.any() for difference in await self.open(*due)):
            raise CheatError("a product came out in two ways")


def test_bent_frames_are_noticed_by_who_claims_so() -> None:
    claims, holds, honest = (report.of_bending(kind, 3, Z64) for kind in (Claims, Twice, Replicated))
    assert any("was bent and the result is wrong, without an error" in said for said in claims.failures)
    assert not holds.failures and holds.said[0].endswith("bent payloads, 0 of them unnoticed")
    assert not honest.failures and "changed the result unnoticed" in honest.said[0]


@pytest.mark.parametrize(
    ("corrupt", "parties", "sizes"),
    [
        ("1 of 3", 3, (1, 3)),
        ("n-1 of n", 2, (1, 2)),
        ("n-1 of n", 4, (3, 4)),
        ("(n-1)/2 of n", 5, (2, 10)),
        ("(n-1)/3 of n", 7, (2, 21)),
        ("n/2 of n", 4, (2, 6)),
        ("1 of n", 4, (1, 4)),
    ],
)
def test_coalitions_are_as_large_as_the_threat_says(
    corrupt: str, parties: int, sizes: tuple[int, int]
) -> None:
    found = coalitions(Threat("semi-honest", corrupt), parties)
    assert ({len(c) for c in found}, len(found)) == ({sizes[0]}, sizes[1])


@pytest.mark.parametrize("corrupt", ["1 of 3", "most of n", "(n-1)/9 of n"])
def test_other_words_are_refused(corrupt: str) -> None:
    with pytest.raises(ConfigError, match="corrupt = "):
        coalitions(Threat("semi-honest", corrupt), 4)


def test_no_suite_of_this_name(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = conformance("no_such_module:Scheme", monkeypatch)
    assert code == 1 and "the suite 'no_such_module:Scheme' cannot be loaded" in said
