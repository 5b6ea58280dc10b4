"""Common subexpression elimination: a ternary matrix as few additions and subtractions.

The problem
    A slice of a layer is a matrix of -1, 0 and 1 that maps inputs to outputs. Unrolled, it costs one operation per non-zero: output o
    accumulates ±x_i. Temporaries used by several outputs cost one operation each, and save more. Outputs whose rows are equal, or negatives
    of each other, need the same value; only distinct rows are processed (`distinct`).

Lower bound (`lower_bound`)
    Take the distinct rows with at least two non-zeros. No input equals one of them, and no two of them are equal. If an output accumulates its
    row as one value, that value is a temporary specific to this row. Otherwise the output accumulates at least twice. So, whatever is shared,

        operations >= non-empty outputs + distinct rows with at least two non-zeros,

    and temporaries >= the latter if each output accumulates one value. Of N random rows of n entries, each ±1 with probability p / 2, there are

        Σ_k C(n, k) · 2^(k-1) · (1 - (1 - 2 · (p/2)^k · (1-p)^(n-k))^N),  k = 2 ... n,

    on average: at p = 0.2 and n = 9 these are 33.5, 62.7, 111.4 and 186.0 for N = 64, 128, 256 and 512. (An expectation of 180
    temporaries at 9 x 512 is therefore not achievable for such matrices.)

Few inputs (`reach`)
    With nine inputs, nearly every wanted value is the sum or difference of two values that exist anyway. The search therefore starts from the
    wanted values. Everything within one addition is taken first. Only when nothing is within one addition, a further value is chosen that brings
    most of the rest within reach. Results lie 0.7 above the bound at 9 x 512, 2 at 9 x 256, 4 at 9 x 128 and 6 at 9 x 64.

Many inputs (`pairs`)
    The bound is far away, and frequencies matter. Terms common to two sums are extracted, most terms first. Then parts of the result are undone
    and rebuilt if that costs no more. The first step needs no table of pairs and is linear in memory. The second has no natural end;
    `effort` limits it.

The remaining sums become operations (`weave`) in a `Dataflow`. `reference` implements everything except exchanging in plain Python.
"""

from crossloom.engine.associative.compile.sharing.search import lower_bound as lower_bound
from crossloom.engine.associative.compile.sharing.search import share as share
