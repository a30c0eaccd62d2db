"""Real-valued vectors as integers modulo 2^b, so that a sum of encodings decodes to the sum.

    x ↦ clip(x) ↦ H·D·x / √d (if rotated) ↦ cut off at ±peak ↦ ⌊·/step⌉ at random ↦ mod 2^b

clip(x) = x·min(1, c/‖x‖₂).  Rounding at random takes a neighbouring integer whose mean is the number, so the
error of a sum grows with √n, not with n.  b is the smallest for which n·(⌈peak/step⌉ + 1) plus the noise
stays below 2^(b−1): the sum cannot wrap around (with noise: not but with probability 2^-40).  At most 2^32,
four bytes for a coordinate.

The rotation (D: random signs from a public seed, H: Walsh–Hadamard, d: the next power of two) spreads a
vector over all coordinates: no coordinate of a vector of norm c exceeds c·√(2·ln(2d/β)/d) but with
probability β, so a smaller peak, and fewer bits, are enough.  It is undone after the sum.

Weights are whole numbers up to W, as counts of examples are.  A client sends w·x/W, and w itself as one more
coordinate; the mean is the quotient of the two sums.

Threat   local to the client; the words of the rounding are secret like the vector, the seed of the rotation
         is public.  How often a rounding is repeated (``limit``) depends on the vector: whoever times the
         client learns a little.  A sum of few fractions is not a sum any more: of Σ k_i/m_i with known m_i,
         to enough digits, every k_i can be told.  So steps are by default no finer than training or
         statistics need; rounding at random leaves the mean right.
Source   Kairouz, Liu, Steinke, arXiv 2102.06387, theorem 1 (conditional rounding, the bound on
         the norm); Suresh, Yu, Kumar, McMahan, arXiv 1611.00429 (rotation).  There the modulus may be so
         small that sums wrap now and then; here they do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mpc.encoding import numeric
from mpc.errors import EncodingError
from mpc.prg import Stream
from mpc.ring import Z64, NDArray, Spec
from protocols.privacy import loops

WORD, CHUNK = 32, 1 << 16
#: Of one coordinate of one rotated vector being cut off at the default peak; of noise making a sum wrap
#: around.
CUT, WRAP = 2.0**-20, 2.0**-40
#: Steps of a vector's longest in one of its coordinates, without noise, which has a rule of its own
#: (``mechanisms``).
DIGITS = 2.0**-10
#: Conditional rounding is repeated with at most this probability; the value that the paper's experiments use.
REPEAT = math.exp(-0.5)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How up to ``clients`` vectors of shape (dimension,) are clipped, scaled and rounded.

    ``clip``      bound on the L2 norm of a vector; longer ones are shortened to it
    ``peak``      bound on the size of a coordinate (after the rotation); larger ones are cut off; by default
                  as large as a vector within ``clip`` can have, or with a rotation will have
    ``step``      distance of neighbouring values; by default ``DIGITS`` of a coordinate of the longest
                  vector, all coordinates being alike, or the finest for which 32 bits are enough
    ``weight``    the largest weight of a client; with the default of 1 all count alike, and no weight is sent
    ``rotation``  public seed of the rotation, the same for all clients, fresh for each round
    ``noise``     variance of the noise in the sum, in steps²

    An ``EncodingError`` says if there is no modulus up to 2^32 for which the sum cannot wrap around.
    """

    dimension: int
    clients: int
    clip: float = math.inf
    peak: float = math.inf
    step: float = 0.0
    weight: int = 1
    rotation: bytes | None = field(default=None, repr=False)
    noise: float = 0.0
    bits: int = field(init=False)

    def __post_init__(self) -> None:
        for name in ("dimension", "clients", "weight"):
            if getattr(self, name) < 1:
                raise EncodingError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not (self.clip > 0 and self.peak > 0 and min(self.clip, self.peak) < math.inf):
            raise EncodingError(
                "give a clip (bound on the L2 norm) or a peak (bound on a coordinate) above 0"
            )
        if not (0 <= self.step < math.inf and 0 <= self.noise < math.inf):
            raise EncodingError(
                f"step and noise must be 0 or finite numbers above it, not {self.step} and {self.noise}"
            )
        spread = 1.0
        if self.rotation is not None:
            spread = min(1.0, math.sqrt(2 * math.log(2 * self.padded / CUT) / self.padded))
        object.__setattr__(self, "peak", min(self.peak, self.clip * spread))
        room = (1 << (WORD - 1)) - 1 - self._reach
        if not self.step:
            # peak / (peak / steps) may come out a little larger than steps
            steps = room // self.clients - 2
            if steps < 1:
                raise EncodingError(
                    f"{self.clients} clients' values and this noise do not fit 32 bits; choose less noise or"
                    " fewer clients"
                )
            coordinate = min(self.peak, self.clip / math.sqrt(self.padded))
            object.__setattr__(self, "step", max(self.peak / steps, DIGITS * coordinate))
        most = self.clients * (math.ceil(self.peak / self.step) + 1) + self._reach
        most = max(most, self.clients * self.weight if self.weight > 1 else 0)
        object.__setattr__(self, "bits", most.bit_length() + 1)
        if self.bits > WORD:
            raise EncodingError(
                f"the sum of {self.clients} clients could need {self.bits} bits of the {WORD} there are; "
                "choose a larger step, a smaller peak or weight, or fewer clients"
            )

    @property
    def padded(self) -> int:
        """Coordinates after the rotation."""
        return self.dimension if self.rotation is None else 1 << (self.dimension - 1).bit_length()

    @property
    def length(self) -> int:
        """Integers a client sends."""
        return self.padded + (self.weight > 1)

    @property
    def _reach(self) -> int:
        """What the noise in no coordinate of the sum exceeds, but with probability WRAP (Bernstein; for
        Skellam too).
        """
        exponent = math.log(2 * self.padded / WRAP)
        return (
            math.ceil(exponent / 3 + math.sqrt(exponent**2 / 9 + 2 * self.noise * exponent))
            if self.noise
            else 0
        )

    def encode(self, vector: npt.ArrayLike, stream: Stream, weight: int = 1) -> NDArray:
        """One client's vector, of shape (dimension,), as uint32 below 2^bits, of shape (length,)."""
        return self.reduce(self.integers(vector, stream, weight))

    def integers(
        self, vector: npt.ArrayLike, stream: Stream, weight: int = 1, limit: int | None = None
    ) -> NDArray:
        """The same as int64 before the reduction; repeats the rounding until its squared norm is within
        ``limit``.
        """
        x = np.ascontiguousarray(numeric(vector, "a vector"))
        if x.dtype not in (np.float64, np.float32):
            x = x.astype(np.float64)
        if x.shape != (self.dimension,):
            raise EncodingError(f"a vector has shape {x.shape} instead of ({self.dimension},)")
        if not (isinstance(weight, int | np.integer) and 1 <= weight <= self.weight):
            raise EncodingError(f"a weight must be a whole number from 1 to {self.weight}")
        norm = math.sqrt(loops.squares(x))
        if not norm < 1e150:
            raise EncodingError(
                "a vector contains NaN, infinity or absurdly large numbers; leave the update out or repair it"
            )
        scale = weight / self.weight / self.step
        factor = scale * min(1.0, self.clip / norm if norm else 1.0)
        if self.rotation is not None:
            x = self._rotate(x)
        out = np.empty(self.length, np.int64)
        while True:
            squares = 0
            for lo in range(0, len(x), CHUNK):  # words and numbers stay in the cache
                piece = x[lo : lo + CHUNK]
                words = stream.draw(Spec(Z64, piece.shape)).data
                squares += loops.round_at_random(
                    piece, factor, self.peak * scale, words, out[lo : lo + len(piece)]
                )
            if limit is None or squares <= limit:
                break
        if self.weight > 1:
            out[-1] = weight
        return out

    def lost(self, vector: npt.ArrayLike) -> str:
        """What ``clip`` and ``peak`` take off this vector, in words that are for its owner alone; empty if
        nothing.
        """
        x = np.ascontiguousarray(vector, np.float64)
        norm, said = math.sqrt(loops.squares(x)), []
        if norm > self.clip:
            said.append(f"it was shortened from a norm of {norm:.4g} to 'clip', {self.clip:g}")
            x = x * (self.clip / norm)
        if self.rotation is None and (beyond := int(np.count_nonzero(np.abs(x) > self.peak * (1 + 1e-9)))):
            said.append(f"{beyond} of its {self.dimension} numbers were cut off at 'peak', {self.peak:g}")
        return "; ".join(said)

    def reduce(self, integers: NDArray) -> NDArray:
        """Modulo 2^bits, as uint32."""
        out = integers.astype(np.uint32)
        out &= np.uint32((1 << self.bits) - 1)
        return out

    def decode(self, total: NDArray, count: int) -> NDArray:
        """The (weighted) mean, float64 of shape (dimension,), from the sum of ``count`` clients' encodings,
        which may have been summed modulo 2^bits or any multiple of it."""
        if total.shape != (self.length,) or total.dtype.kind not in "iu":
            raise EncodingError(f"a sum is {self.length} integers, not {total.dtype} of shape {total.shape}")
        if not 1 <= count <= self.clients:
            raise EncodingError(f"a sum of {count} vectors, where the encoding is for 1 to {self.clients}")
        half, mask = 1 << (self.bits - 1), (1 << self.bits) - 1
        signed = ((total.astype(np.int64) + half) & mask) - half
        divisor = float(count)
        if self.weight > 1:
            divisor = float(signed[-1]) / self.weight
            if not count <= signed[-1] <= count * self.weight:
                raise EncodingError(
                    "the sum of the weights is impossible; a client sent a weight out of range, or the count"
                    " is wrong"
                )
        mean = signed[: self.padded] * (self.step / divisor)
        return mean if self.rotation is None else self._unrotate(mean)

    def total_weight(self, total: NDArray) -> int:
        """The sum of the weights that is in a sum."""
        if self.weight == 1:
            raise EncodingError("this encoding carries no weights: all clients count alike")
        return int(total[-1]) & ((1 << self.bits) - 1)

    def error(self, count: int, weights: int | None = None) -> float:
        """Bound on the standard deviation of a coordinate of the mean that rounding and noise cause (clipping
        comes on top).
        """
        divisor = count if weights is None else weights / self.weight
        return self.step * math.sqrt(count / 4 + self.noise) / divisor

    def _signs(self) -> NDArray:
        assert self.rotation is not None
        bits = Stream(self.rotation, "rotation").bytes((self.padded + 7) // 8)
        return np.unpackbits(np.frombuffer(bits, np.uint8), count=self.padded) * 2.0 - 1.0

    def _rotate(self, x: NDArray) -> NDArray:
        out = self._signs() / math.sqrt(self.padded)
        out[: self.dimension] *= x
        out[self.dimension :] = 0.0
        loops.hadamard(out)
        return out

    def _unrotate(self, x: NDArray) -> NDArray:
        loops.hadamard(x)
        x *= self._signs() / math.sqrt(self.padded)
        return x[: self.dimension]


def rounded_norm(norm: float, dimension: int) -> int:
    """⌊Δ²⌋ for a bound Δ that the rounding of a vector of at most this L2 norm (in steps) keeps with
    probability 1 − REPEAT.

        Δ² = min{ (c + √d)²,  c² + d/4 + √(2·ln(1/β))·(c + √d/2) }        [KLS21, theorem 1, in steps]
    """
    root = math.sqrt(dimension)
    probable = norm**2 + dimension / 4 + math.sqrt(2 * math.log(1 / REPEAT)) * (norm + root / 2)
    return math.floor(min((norm + root) ** 2, probable))
