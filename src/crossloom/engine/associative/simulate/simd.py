"""Vector code of the tables: a run of bits, with one cell of several words of rows in a register.

For each table and each number of words, LLVM receives the steps unchanged. A search is the conjunction of the cells of its key; a write is a
disjunction with the tag or a conjunction with its complement. The carry stays in a register throughout a run; a target is loaded, goes through all
steps, and is stored. A watched run does the same, but also counts matching rows and written cells, and leaves cells unchanged where a write fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from crossloom.engine.associative.isa.truth_tables import CELLS, TABLES, Step, TruthTable

_WORD = ir.IntType(64)
_BYTES = 8


@numba.njit(nogil=True)
def run_all(runs: Any, start: int, stop: int, cells: Any, lanes: Any) -> None:
    """Perform runs on the cells of a block, uint64[cell, word]; `lanes` is a tuple with one entry per word of a cell."""
    base, size = cells.ctypes.data, len(lanes) * _BYTES
    for n in range(start, stop):
        table, bits, carry, target, a, a_step, b, b_step = runs[n, :8]
        _run(lanes, (table, bits), (base + carry * size, base + target * size, base + a * size, base + b * size), (a_step * size, b_step * size))


@dataclass
class _Watch:
    """State of a watched run during emission: rows in use, tallies of matching rows and written cells, and the mask of the next write."""

    used: Any
    tagged: Any
    written: Any
    mask: Any = None


def _emitter(lanes: int, watched: bool) -> Callable[[Any, Any, Any, Any], Any]:
    """Return the emitter of a run: a switch to the loop of its table."""
    vector = ir.VectorType(_WORD, lanes)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, count = (builder.sext(one, _WORD) if one.type.width < _WORD.width else one for one in cgutils.unpack_tuple(builder, arguments[1]))
        carry, target, a, b = cgutils.unpack_tuple(builder, arguments[2])
        a_step, b_step = cgutils.unpack_tuple(builder, arguments[3])
        places = {"C": (carry, None), "R": (target, ir.Constant(_WORD, lanes * _BYTES)), "A": (a, a_step), "B": (b, b_step)}
        masks = cgutils.unpack_tuple(builder, arguments[4]) if watched else None
        done = builder.append_basic_block("done")
        choice = builder.switch(number, done)
        for case, table in enumerate(TABLES):
            block = builder.append_basic_block(table.name)
            choice.add_case(ir.Constant(_WORD, case), block)
            builder.position_at_end(block)
            _bits(builder, table, (vector, count), places, masks)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return generate


def _declare_run(context: Any, lanes: Any, what: Any, places: Any, steps: Any) -> tuple[Any, Any]:
    """Perform a run of a table, given the addresses of carry, target, A and B, and the strides of A and B in bytes per bit."""
    return types.void(lanes, what, places, steps), _emitter(lanes.count, False)


def _declare_watched_run(context: Any, lanes: Any, what: Any, places: Any, steps: Any, masks: Any) -> tuple[Any, Any]:
    """Perform a watched run. `masks`: address of the rows in which the first write succeeds, its stride in bytes per bit, and the
    addresses of the rows in use and of the tallies, uint64[word], of matching rows and written cells."""
    return types.void(lanes, what, places, steps, masks), _emitter(lanes.count, True)


_run: Any = intrinsic(_declare_run)
watched_run: Any = intrinsic(_declare_watched_run)


def _bits(builder: Any, table: TruthTable, shape: tuple[Any, Any], places: Mapping[str, tuple[Any, Any]], masks: Any) -> None:
    """Emit a table's loop over bits."""
    vector, count = shape
    places = {**places, table.target: places["R"]}
    seen = sorted({cell for step in table.steps for cell in (*step.key, *step.write)})
    written = sorted({cell for step in table.steps for cell in step.write})

    def pointer(address: Any) -> Any:
        return builder.inttoptr(address, vector.as_pointer())

    kept = {"C": pointer(places["C"][0])} if "C" in seen else {}
    kept |= {"used": pointer(masks[2]), "tagged": pointer(masks[3]), "written": pointer(masks[4])} if masks else {}
    registers = {name: cgutils.alloca_once(builder, vector) for name in kept}
    for name, register in registers.items():
        builder.store(builder.load(kept[name], align=_BYTES), register)
    watch = _Watch(*(registers[name] for name in ("used", "tagged", "written"))) if masks else None
    with cgutils.for_range(builder, count) as loop:
        at = {cell: pointer(builder.add(first, builder.mul(loop.index, step))) for cell, (first, step) in places.items() if step is not None}
        at |= registers
        cells = {cell: builder.load(at[cell], align=_BYTES) for cell in seen}
        if watch:
            watch.mask = pointer(builder.add(masks[0], builder.mul(loop.index, masks[1])))
        for step in table.steps:
            _step(builder, step, cells, vector, watch)
        for cell in written:
            builder.store(cells[cell], at[cell], align=_BYTES)
    for name, register in registers.items():
        if name in written or name in ("tagged", "written"):
            builder.store(builder.load(register), kept[name], align=_BYTES)


def _step(builder: Any, step: Step, cells: dict[Any, Any], vector: Any, watch: _Watch | None) -> None:
    """Emit a search and its writes."""
    tag = ir.Constant(vector, [-1] * vector.count)
    for cell, bit in step.key.items():
        tag = builder.and_(tag, cells[cell] if bit else builder.not_(cells[cell]))
    if watch and step.key:
        _tally(builder, tag, watch, watch.tagged)
    for cell in sorted(step.write, key=CELLS.index):
        taken = tag
        if watch:
            _tally(builder, tag, watch, watch.written)
            taken = builder.and_(tag, builder.load(watch.mask, align=_BYTES))
            watch.mask = builder.gep(watch.mask, [ir.Constant(_WORD, 1)])
        cells[cell] = builder.or_(cells[cell], taken) if step.write[cell] else builder.and_(cells[cell], builder.not_(taken))


def _tally(builder: Any, rows: Any, watch: _Watch, total: Any) -> None:
    """Emit the count of the given rows that are in use."""
    used = builder.and_(rows, builder.load(watch.used))
    ones = cgutils.get_or_insert_function(builder.module, ir.FunctionType(used.type, [used.type]), f"llvm.ctpop.v{used.type.count}i64")
    builder.store(builder.add(builder.load(total), builder.call(ones, [used])), total)
