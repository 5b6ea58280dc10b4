"""Order of the operations of a scope, chosen to keep few temporaries live simultaneously.

Outputs are processed one by one. Everything that an output needs and that is not yet available is computed (operands first), and added to its sum.
The next output is the one after which fewest temporaries stay live: the temporaries it creates that others will also read, minus those it reads for
the last time. A tie goes to the output with fewest new operations. This is the usual greedy rule for a short list of live values; finding the
minimum is a hard problem.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.compile.dataflow import Dataflow
from crossloom.kernels.jit import compiled

Order = NDArray[np.int32]
Flags = NDArray[np.bool_]
WINDOW = 256
"""Number of outputs among which the next one is chosen."""


def order(dataflow: Dataflow) -> Order:
    """Return the operations of a scope in execution order: t for temporary t (0-based), -1 - k for the k-th term of the sums."""
    found: Order = _order(dataflow.inputs, dataflow.left, dataflow.right, dataflow.first, dataflow.term)
    return found


@compiled
def uses_of(inputs: int, left: Order, right: Order, term: Order) -> Order:
    """Return the number of reads of each value."""
    uses = np.zeros(inputs + len(left), np.int32)
    for t in range(len(left)):
        uses[left[t]] += 1
        uses[right[t]] += 1
    for value in term:
        uses[value] += 1
    return uses


@compiled
def _order(inputs: int, left: Order, right: Order, first: Order, term: Order) -> Order:
    temporaries, outputs = len(left), len(first) - 1
    uses = uses_of(inputs, left, right, term)
    done = np.zeros(temporaries, np.bool_)
    mark = np.full(temporaries, -1, np.int32)
    waiting = np.array([o for o in range(outputs) if first[o + 1] > first[o]], np.int32)
    count = len(waiting)
    found = np.empty(temporaries + len(term), np.int32)
    stack = np.empty(2 * temporaries + 2, np.int32)
    length, stamp = 0, 0
    while count:
        best, best_cost = 0, 1 << 30
        for place in range(min(count, WINDOW)):
            output = waiting[place]
            cost = _cost(output, inputs, left, right, first, term, uses, done, mark, stamp, stack)
            stamp += 1
            if cost < best_cost:
                best, best_cost = place, cost
        output = waiting[best]
        waiting[best : count - 1] = waiting[best + 1 : count].copy()
        count -= 1
        for k in range(first[output], first[output + 1]):
            length = _compute(term[k], inputs, left, right, uses, done, stack, found, length)
            found[length] = -1 - k
            uses[term[k]] -= 1
            length += 1
    return found[:length]


@compiled
def _cost(
    output: int, inputs: int, left: Order, right: Order, first: Order, term: Order, uses: Order, done: Flags, mark: Order, stamp: int, stack: Order
) -> int:
    """Return the increase in live temporaries due to an output, times a large number, plus its number of new operations."""
    stays, fresh = 0, 0
    for k in range(first[output], first[output + 1]):
        depth = 0
        stack[depth] = term[k]
        depth = 1
        while depth:
            depth -= 1
            t = stack[depth] - inputs
            if t < 0:
                continue
            if done[t]:
                if uses[t + inputs] == 1:
                    stays -= 1
            elif mark[t] != stamp:
                mark[t] = stamp
                fresh += 1
                if uses[t + inputs] > 1:
                    stays += 1
                stack[depth], stack[depth + 1] = left[t], right[t]
                depth += 2
    return stays * 65536 + fresh


@compiled
def _compute(value: int, inputs: int, left: Order, right: Order, uses: Order, done: Flags, stack: Order, found: Order, length: int) -> int:
    """Append the operations still needed for a value, operands first, and return the new number of operations."""
    depth = 1
    stack[0] = value
    while depth:
        t = stack[depth - 1] - inputs
        if t < 0 or done[t]:
            depth -= 1
            continue
        pending = False
        for operand in (left[t], right[t]):
            if operand >= inputs and not done[operand - inputs]:
                stack[depth] = operand
                depth += 1
                pending = True
        if not pending:
            done[t] = True
            found[length] = t
            length += 1
            uses[left[t]] -= 1
            uses[right[t]] -= 1
            depth -= 1
    return length
