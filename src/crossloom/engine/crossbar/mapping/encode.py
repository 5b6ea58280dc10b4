"""How signed weights become cells, and signed inputs become digits.

Cells are never negative, nor are most digits. Signs come back by arithmetic afterwards:

* **offset** (ISAAC): cells hold w + 2^(b−1); the sum of the inputs times 2^(b−1) is subtracted.
* **differential**: cells of two columns hold max(w, 0) and max(−w, 0); their sums are subtracted.
* **two's complement**: the sign bit has a column of its own, of weight −2^(b−1); the rest is sliced.
* **flip** (ISAAC, Section V): a column of one row tile whose cells sum to more than half is stored as 2^w − 1 − g, so that no
  partial sum exceeds half; (2^w − 1) · Σ x minus what comes out is the true sum.

Inputs are two's complement: all digits but the sign bit have weights 2^(v·i), the sign bit −2^(b−1). Where differential pairs accumulate in
analog, digits of the magnitude are driven with either polarity instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.crossbar.settings import Crossbars, Encodes
from crossloom.network.quantization import Quantization


@dataclass(frozen=True, slots=True)
class Digits:
    """How an input of some bits is cut: shift, width and weight of each digit, in the order in which they are driven."""

    cuts: tuple[tuple[int, int, int], ...]
    signs: bool = False

    @classmethod
    def of(cls, bits: int, signed: bool, digit_bits: int) -> Digits:
        """Return the digits of an integer; a signed one has its sign bit last, as in the paper's sixteenth cycle."""
        plain = bits - signed
        cuts = [(shift, min(digit_bits, plain - shift), 1 << shift) for shift in range(0, plain, digit_bits)]
        return cls((*cuts, *(((bits - 1, 1, -(1 << (bits - 1))),) if signed else ())))

    @classmethod
    def polar(cls, bits: int, digit_bits: int) -> Digits:
        """Return the digits of a signed integer's magnitude, each driven with the polarity of its sign (assumed of the driver).

        So nothing is subtracted at the end, and every digit weighs 2^v times the one before, as a cyclic accumulation takes them.
        """
        return cls(cls.of(bits, False, digit_bits).cuts, True)

    def __len__(self) -> int:
        return len(self.cuts)

    def __call__(self, integers: Tensor) -> Tensor:
        """Return the digits (D, *shape) of int32 or int64 integers, in their type."""
        whole = integers.abs() if self.signs else integers
        found = torch.stack([(whole >> shift) & ((1 << width) - 1) for shift, width, _ in self.cuts])
        return found * integers.sign() if self.signs else found

    @property
    def weights(self) -> tuple[int, ...]:
        """The weight of each digit."""
        return tuple(weight for _, _, weight in self.cuts)


@dataclass(frozen=True, slots=True)
class Slices:
    """How a weight of some bits is cut into columns: weight and width of each, and what was added to the weight."""

    weights: tuple[int, ...]
    widths: tuple[int, ...]
    offset: int
    encoding: Encodes

    @classmethod
    def of(cls, bits: int, encoding: Encodes, cell_bits: int) -> Slices:
        """Return the columns that one weight takes."""
        if encoding == "offset":
            weights, widths = _cut(bits, cell_bits)
            return cls(weights, widths, 1 << (bits - 1), encoding)
        weights, widths = _cut(bits - 1, cell_bits)
        if encoding == "differential":
            return cls((*weights, *(-w for w in weights)), widths * 2, 0, encoding)
        return cls((*weights, -(1 << (bits - 1))), (*widths, 1), 0, encoding)

    def __len__(self) -> int:
        return len(self.weights)

    def __call__(self, weights: Tensor) -> Tensor:
        """Return the cells (K, *shape) of signed integer weights (int64)."""
        if self.encoding == "differential":
            half = len(self.weights) // 2
            parts = [(weights.clamp(min=0), range(half)), ((-weights).clamp(min=0), range(half, 2 * half))]
        else:
            parts = [(weights + self.offset, range(len(self.weights)))]
        return torch.stack([(value >> _log2(abs(self.weights[k]))) & ((1 << self.widths[k]) - 1) for value, ks in parts for k in ks])


def weight_slices(weight: Quantization, xbar: Crossbars) -> Slices:
    """Return the columns of a quantised weight. Differential columns hold a magnitude, which for −2^(b−1) takes one bit more."""
    extra = 1 if xbar.encoding == "differential" and not weight.narrow else 0
    return Slices.of(weight.bits + extra, xbar.encoding, xbar.cell_bits)


def _cut(bits: int, cell_bits: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shifts = range(0, bits, cell_bits)
    return tuple(1 << s for s in shifts), tuple(min(cell_bits, bits - s) for s in shifts)


def _log2(power: int) -> int:
    return power.bit_length() - 1


@dataclass(frozen=True, slots=True)
class Programmed:
    """The cells of one row tile: `cells` (K, rows, columns) as stored, and which columns are `flipped` (K, columns)."""

    rows: slice
    cells: Tensor
    flipped: Tensor | None


def program_tiles(weights: Tensor, slices: Slices, xbar: Crossbars) -> list[Programmed]:
    """Return the cells for a weight matrix (rows, columns) of int64, one entry for each row tile."""
    tiles = []
    for start in range(0, weights.shape[0], xbar.rows):
        rows = slice(start, min(start + xbar.rows, weights.shape[0]))
        cells = slices(weights[rows])
        flipped = None
        if xbar.flip:
            highest = torch.tensor([(1 << width) - 1 for width in slices.widths], device=cells.device).reshape(-1, 1, 1)
            flipped = 2 * cells.sum(1) > highest[:, 0] * cells.shape[1]
            cells = torch.where(flipped[:, None, :], highest - cells, cells)
        tiles.append(Programmed(rows, cells, flipped))
    return tiles
