"""Common subexpressions: a ternary matrix as few additions and subtractions.

The problem
    A slice of a layer is a matrix of -1, 0 and 1 that takes inputs to outputs. Unrolled it costs an operation for each non-zero: output o
    accumulates ±x_i. Temporaries that several outputs use cost one operation each, and save more. Outputs whose rows are equal, or each
    other's negative, want the same value; only distinct rows are worked on (`distinct`).

What no sharing can beat (`lower_bound`)
    Take the distinct rows with at least two non-zeros. No input is equal to one of them, nor are two of them equal. If an output accumulates its row as
    one value, then that is a temporary of this row's own. If it does not, it accumulates at least twice. So, whatever is shared,

        operations >= outputs that are not empty + distinct rows with at least two non-zeros,

    and temporaries >= the latter if each output accumulates one value. Of N random rows of n entries, each ±1 with probability p / 2, there are

        Σ_k C(n, k) · 2^(k-1) · (1 - (1 - 2 · (p/2)^k · (1-p)^(n-k))^N),  k = 2 ... n,

    on average: at p = 0.2 and n = 9 these are 33.5, 62.7, 111.4 and 186.0 for N = 64, 128, 256 and 512. (So the 180 temporaries that
    have been hoped for at 9 x 512 are out of reach for such matrices.)

Few inputs (`reach`)
    With nine inputs nearly every wanted value is the sum or difference of two values that are there anyway. So one looks from what is wanted:
    everything within one addition is taken, and only when nothing is, a further value is chosen that brings most of the rest within reach.
    Results lie 0.7 above the bound at 9 x 512, 2 at 9 x 256, 4 at 9 x 128 and 6 at 9 x 64.

Many inputs (`pairs`)
    The bound is far, and frequencies decide: what two sums have in common is taken out, the most first; then parts of the result are undone and
    done anew as long as that costs no more. The first step needs no table of pairs and is linear in memory; the second has no natural end,
    and `effort` sets it.

The sums that are left become operations (`weave`): a `Dataflow`. `reference` says all but the exchanging again, in plain Python.
"""

from crossloom.engine.associative.compile.sharing.search import lower_bound as lower_bound
from crossloom.engine.associative.compile.sharing.search import share as share
