"""Packing of blocks into as few arrays as possible: rectangles in two dimensions, and in time.

The problem
    Slots are counted t = 0, 1, 2, ... A stage ("owner") of period n = 2^k and phase p is active where t mod n = p. Owners of periods n and m
    and phases p and q meet in some slot if and only if p mod min(n, m) = q mod min(n, m), because the shorter period repeats within the longer.
    Phases are the nodes of a binary tree whose levels are the bits of p, lowest first. Two owners meet if one is the other's ancestor or
    equal to it: the buddy system of memory allocators, with 1/n of the time as the size.

    Blocks are rectangles of cells that are not rotated. Cells are owned permanently, so blocks of one array do not overlap. Lines are borrowed
    for the active slots: blocks that meet share neither word lines nor bit lines, and do not both write. Blocks of one owner always meet, so they
    lie diagonally to each other. The cells where word lines of one cross bit lines of another belong to no block; they are kept erased, so
    that they add nothing to a sum (`crossloom.engine.in_array.biasing`). Blocks that never meet may share lines freely.

Lower bounds for any packing
    Area: Σ rows · columns <= R · C · arrays.
    Time: at most one block on a line is active per slot, so Σ 1/period <= 1 for every line (Kraft's inequality for the phases as a
    prefix code; conversely, phases exist for any one line on which it holds). Summed over an array's word lines: Σ rows / period <= R · arrays, and
    the same holds for columns. With period 1, an array holds one diagonal, and k equal blocks fill 1/k of it
    at most.
    Owner: Σ rows <= R · arrays over the blocks of one owner, for any period; the same holds for columns.
    Writing: Σ 1/period <= arrays over the blocks that write, and an owner's writing blocks lie in as many arrays.

    Exclusion: blocks that pairwise cannot share an array need one array each.

The search
    An array is filled greedily (`filling`): kinds in some order, each as often as it fits, on the first word line with room and there
    on the first bit line. An owner's phase is chosen when its first block is placed. It is the phase that allows the earliest location (so that
    lines already in use are shared); among equals, it is the least loaded. The resulting array is repeated as often as there are blocks for it. At
    least one kind then runs short, so there are few patterns however many blocks there are. Several orders are tried, then small changes of the
    best, until the bound is met or the budget is used up. The budget is counted in steps, not seconds, so the result does not depend on the computer.
"""

from crossloom.compiler.packing.bounds import fewest_arrays as fewest_arrays
from crossloom.compiler.packing.kinds import BlockKind as BlockKind
from crossloom.compiler.packing.kinds import Owner as Owner
from crossloom.compiler.packing.kinds import Packing as Packing
from crossloom.compiler.packing.kinds import Pattern as Pattern
from crossloom.compiler.packing.kinds import Placed as Placed
from crossloom.compiler.packing.kinds import check as check
from crossloom.compiler.packing.search import BUDGET as BUDGET
from crossloom.compiler.packing.search import pack as pack
