"""Random streams for the associative processor, and the bits of its rows as plain lists."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossloom.engine.associative.isa.instructions import CARRIES, INSTRUCTION, InstructionStream, Op
from crossloom.engine.associative.simulate.state import State, write_values

ROUNDS = 3


@st.composite
def streams(draw: st.DrawFn, loads: bool = False, longest: int = 12) -> InstructionStream:
    """Streams of any instructions on small arrays, an instruction's operands in different columns."""
    columns, domains = draw(st.integers(4, 7)), draw(st.sampled_from((1, 2, 4, 6, 12)))
    ops = st.sampled_from([op for op in Op if loads or op != Op.LOAD])
    found = np.zeros(draw(st.integers(1, longest)), INSTRUCTION)
    for one in found:
        for name, value in _fields(draw, draw(ops), columns, domains).items():
            one[name] = value
    return InstructionStream(columns, domains, found)


def _fields(draw: st.DrawFn, op: Op, columns: int, domains: int) -> dict[str, int]:
    if op == Op.LOAD:
        return {"op": op, "a": draw(st.integers(0, ROUNDS - 1))}
    to, a, b, carry = draw(st.permutations(range(columns)))[:4]
    bits = draw(st.integers(1, domains))
    fields: dict[str, int] = {"op": op, "bits": bits, "to": to, "to_at": draw(st.integers(0, domains - bits))}
    if op == Op.CLEAR:
        return fields | {"a": draw(st.integers(to, columns - 1))}
    if op == Op.EXTEND:
        signed = draw(st.booleans())
        return fields | {"a_signed": signed, "a_bits": draw(st.integers(int(signed), bits))}
    for name, column in (("a", a), ("b", b)) if op in (Op.SUM, Op.DIFFERENCE) else (("a", a),):
        signed = draw(st.booleans())
        stored = draw(st.integers(int(signed), domains))
        fields |= {name: column, f"{name}_signed": signed, f"{name}_bits": stored, f"{name}_at": draw(st.integers(0, domains - stored))}
    return fields | ({"carry": carry, "carry_at": draw(st.integers(0, domains - 1))} if op in CARRIES else {})


def stream_of(columns: int, domains: int, *instructions: dict[str, Any]) -> InstructionStream:
    """Return a stream of instructions given by their fields."""
    found = np.zeros(len(instructions), INSTRUCTION)
    for one, fields in zip(found, instructions, strict=True):
        for name, value in fields.items():
            one[name] = value
    return InstructionStream(columns, domains, found)


def random_bits(stream: InstructionStream, rows: int, seed: int = 0) -> NDArray[np.int64]:
    """Return bits for all cells, [row, column, domain]."""
    return np.random.default_rng(seed).integers(0, 2, (rows, stream.columns, stream.domains))


def filled(bits: NDArray[np.int64], **options: Any) -> State:
    """Return a state with these bits."""
    rows, columns, domains = bits.shape
    state = State.zeros(rows, columns, domains, **options)
    write_values(state, bits.reshape(rows, -1), *np.divmod(np.arange(columns * domains), domains), 1)
    return state


def bits_of(state: State) -> NDArray[np.int64]:
    """Return the bits of all cells, spare ones too, [row, column, cell of the column]."""
    packed = state.planes.view(np.uint8).reshape(*state.planes.shape[:3], -1)
    found = np.unpackbits(packed, axis=-1, bitorder="little").transpose(0, 3, 1, 2)
    return found.reshape(-1, state.columns, state.height)[: state.rows].astype(np.int64)
