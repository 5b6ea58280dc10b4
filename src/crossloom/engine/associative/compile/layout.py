"""Column layout of an array: inputs, temporaries, sums and the carry.

A column is a track of several domains in each row. From the left: a column for each input of a scope, with the successive scopes of a round along its
domains; columns for temporaries, each with as many slots as fit; columns for the sums, with slots in the same way; and the carry in the last column.
An operation reads its operands simultaneously, so they must lie in different columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnLayout:
    """Columns and slots.

    Attributes:
        columns, domains: size of an array.
        inputs: number of inputs of a scope, each in its own column.
        input_bits: bits of an input along its column.
        sums: number of outputs whose sums the array holds.
        sum_bits: bits reserved for each sum.
    """

    columns: int
    domains: int
    inputs: int
    input_bits: int
    sums: int
    sum_bits: int

    @property
    def scopes_in_round(self) -> int:
        """Number of scopes whose inputs are in the array together: inputs that fit along a column."""
        return self.domains // self.input_bits

    @property
    def sums_in_column(self) -> int:
        """Number of sums that fit along a column."""
        return self.domains // self.sum_bits

    @property
    def sum_columns(self) -> int:
        """Number of columns for the sums."""
        return -(-self.sums // max(1, self.sums_in_column))

    @property
    def temporary_columns(self) -> int:
        """Number of columns left for temporaries; negative if the rest does not fit."""
        return self.columns - 1 - self.inputs - self.sum_columns

    @property
    def fits(self) -> bool:
        """Whether inputs, sums and the carry fit."""
        return self.scopes_in_round > 0 and self.sums_in_column > 0 and self.temporary_columns >= 0

    @property
    def carry(self) -> int:
        """The column of the carry."""
        return self.columns - 1

    def sum_place(self, output: int) -> tuple[int, int]:
        """Return the column and domain of a sum."""
        first = self.inputs + self.temporary_columns
        return first + output // self.sums_in_column, output % self.sums_in_column * self.sum_bits

    def sum_places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the columns and domains of all sums."""
        outputs = np.arange(self.sums)
        first = self.inputs + self.temporary_columns
        return first + outputs // self.sums_in_column, outputs % self.sums_in_column * self.sum_bits

    def input_domain(self, scope: int) -> int:
        """Return the domain at which the inputs of a scope begin."""
        return scope % self.scopes_in_round * self.input_bits
