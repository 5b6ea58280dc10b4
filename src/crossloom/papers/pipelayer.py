"""PipeLayer (Song, Qian, Li, Chen, HPCA 2017): its claims, computed from the machine file.

We had only a third-party reading note on the full text. Area and energy of the machine's arrays are fitted to two of the paper's numbers, so these
two and all that follows from them prove nothing; the claims state this.
"""

from __future__ import annotations

from functools import cache, partial

import torch
from torch import nn

from crossloom.compiler import compile_network
from crossloom.engine.crossbar.mapping.encode import Slices
from crossloom.engine.crossbar.mapping.tiling import Tiling
from crossloom.engine.crossbar.peak import Peak, peak
from crossloom.engine.crossbar.settings import crossbars
from crossloom.job.source import load
from crossloom.machines import load_machine
from crossloom.network.operators import Store
from crossloom.papers.attention import attention, efficiency
from crossloom.papers.claim import Claim
from crossloom.papers.workloads import with_bits
from crossloom.program.program import Program

PAPER = "song2017"
FIT = 4
"""Number of cells per 16-bit weight for which the library's figures were fitted."""
FITTED = f"area of an array from 1485 GOPS/s/mm2, energy of a read from 142.9 GOPS/s/W, for {FIT} cells of 4 bits per 16-bit weight"

_claim = partial(Claim, paper=PAPER)


def claims() -> list[Claim]:
    """Return every claim."""
    return [*_mapping(), *_fitted(), *_against_isaac(), *_attention(), *_not_computed()]


@cache
def _layer() -> Program:
    """Return a 3x3 layer from 128 to 256 channels with 112 x 112 outputs, one copy, 16 bits."""
    with torch.device("meta"):
        module, x = nn.Conv2d(128, 256, 3, padding=1), torch.zeros(1, 128, 112, 112)
    graph = with_bits(load(module, (x,), name="one layer"), 16)
    return compile_network(graph, load_machine("pipelayer").with_(replicate="none"))


def _mapping() -> list[Claim]:
    array = load_machine("pipelayer").part("array")
    rows, columns = array.whole("rows"), array.whole("columns")
    tiling = Tiling(groups=1, rows=1152, columns=256, slices=1, array_rows=rows, array_columns=columns, packed=1, unit=0)
    program = _layer()
    stage = program.stages[0]
    return [
        _claim(
            id="arrays",
            statement="A 1152 x 256 matrix takes 18 arrays",
            published=18.0,
            computed=float(tiling.arrays),
            tolerance=0.0,
            basis="tiling with one cell per weight",
            note=f"With all cells of a 16-bit weight, the machine takes {stage.arrays}.",
        ),
        _claim(
            id="cycles",
            statement="A convolution takes 12,544 cycles if no array is replicated",
            published=12544.0,
            computed=float(stage.steps),
            tolerance=0.0,
            basis="steps of a compiled 3 x 3 layer from 128 to 256 channels",
            free_parameters=("the layer: 112 x 112 outputs, which gives 12,544, and the 1152 x 256 matrix",),
        ),
    ]


def _cells() -> int:
    """Return the number of cells per 16-bit weight."""
    xbar = crossbars(load_machine("pipelayer"))
    return len(Slices.of(16, xbar.encoding, xbar.cell_bits))


def _peak() -> Peak:
    return peak(load_machine("pipelayer"), 16, 16)


def _fitted() -> list[Claim]:
    machine = load_machine("pipelayer")
    cells = f"The fit assumed {FIT} cells per 16-bit weight; the machine has {_cells()}."
    rows = (
        ("density", "Section 6.6: 1485 GOPS/s/mm2", _peak().computational_efficiency, f"The number of arrays is derived from it. {cells}"),
        ("efficiency", "Section 6.6: 142.9 GOPS/s/W", _peak().power_efficiency, f"The energy of a read is calibrated on it. {cells}"),
        ("area", "Section 6.6: the chip takes 82.63 mm2", machine.area_mm2, "This is an input."),
    )
    basis = "peak of the machine file at 16 bits"
    return [
        _claim(
            id=id,
            statement=statement,
            published=None,
            computed=computed,
            tolerance=0.05,
            basis=basis if id != "area" else "sum of all parts",
            free_parameters=(FITTED,),
            note=note,
        )
        for id, statement, computed, note in rows
    ]


def _against_isaac() -> list[Claim]:
    ours, theirs = _peak(), peak(load_machine("isaac-ce"))
    density, power = (getattr(ours, what) / getattr(theirs, what) for what in ("computational_efficiency", "power_efficiency"))
    rows = (
        (
            "isaac-density",
            "Section 6.6: 1485 GOPS/s/mm2 against ISAAC's 479.0",
            density,
            f"Printed: {1485 / 479.0:.2f}. PipeLayer's side is fitted; only ISAAC is computed, at {theirs.computational_efficiency:.1f}.",
        ),
        (
            "isaac-efficiency",
            "Section 6.6: 142.9 GOPS/s/W against ISAAC's 380.7",
            power,
            (
                f"Printed: {142.9 / 380.7:.3f}. PipeLayer's side is fitted; only ISAAC is computed, at {theirs.power_efficiency:.1f}, and its corrected paper "
                "prints 627.5; the origin of 380.7 is not available to us."
            ),
        ),
    )
    return [
        _claim(
            id=id,
            statement=statement,
            published=None,
            computed=computed,
            tolerance=0.05,
            basis="ratio of the peaks of two machine files at 16 bits",
            free_parameters=(FITTED,),
            note=note,
        )
        for id, statement, computed, note in rows
    ]


def _attention() -> list[Claim]:
    """Return claims on the cost of attention, which the paper does not cover."""
    machine = load_machine("pipelayer")
    program = compile_network(with_bits(attention(512, layers=1), 8), machine)
    store = next(stage for stage in program.stages if isinstance(program.graph.node(stage.nodes[0]).op, Store))
    line = machine.part("array").actions["write_row"].latency_s.value
    lines = round(store.busy_s / (512 * line))
    return [
        _claim(
            id="attention-write",
            statement="Attention: time to write the keys of a head for 512 tokens in sequence (us; not in the paper)",
            published=None,
            computed=1e6 * store.busy_s,
            tolerance=0.0,
            basis="time for which a compiled attention layer writes its 8-bit keys; heads are written in parallel",
            free_parameters=("a 50.88 ns write programs one line of cells",),
            note=f"A token takes {lines} bit lines. With one, it would be 512 x 50.88 ns = {1e6 * 512 * line:.1f} us.",
        ),
        _claim(
            id="attention-efficiency",
            statement="Attention: GOPS/s/W on the attention of BERT-base, 128 tokens, 16 bits (not in the paper)",
            published=None,
            computed=efficiency("pipelayer", bits=16),
            tolerance=0.0,
            basis="twelve attention layers, compiled; ledger of one inference",
            free_parameters=(FITTED, "softmax in a digital vector unit; buffers and buses cost nothing"),
            note=(
                f"At 8 bits, {efficiency('pipelayer'):.0f}; the whole of BERT-base, {efficiency('pipelayer', 'bert-base', 16):.0f} at 16 bits "
                f"and {efficiency('pipelayer', 'bert-base'):.0f} at 8."
            ),
        ),
    ]


def _not_computed() -> list[Claim]:
    rows = (
        ("speed-gpu", "Abstract: 42.45 times the speed of a GPU (testing)", 42.45),
        ("energy-gpu", "Abstract: 7.17 times less energy than a GPU", 7.17),
    )
    why = "A measurement on a GTX 1080; no GPU is modelled here."
    return [
        _claim(id=id, statement=statement, published=published, computed=None, tolerance=0.1, basis="not computed", note=why)
        for id, statement, published in rows
    ]
