"""Contents of a floor plan view: distinct array layouts, names and colours of roles, cell counts by role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crossloom.program.floorplan import ArrayLayout, FloorPlan, LaidBlock
from crossloom.program.stage import Slots
from crossloom.report.palette import OTHER, SERIES

NAMES = {"product": "products", "largest": "ReLU and maximum", "sum": "sums", "softmax": "softmax"}
"""Display names of block roles."""
COLOURS = {"product": SERIES[0], "largest": SERIES[1], "sum": SERIES[2], "softmax": SERIES[4]}


def role_name(role: str) -> str:
    """Return the display name of a role."""
    return NAMES.get(role, role)


def role_colour(role: str) -> str:
    """Return the display colour of a role."""
    return COLOURS.get(role, OTHER)


@dataclass(frozen=True, slots=True)
class Look:
    """Arrays whose blocks have the same roles, sizes and positions; the stages that they belong to may differ.

    `counts` is the number of arrays of each layout; `places` are the blocks at each position, one from each layout.
    """

    counts: tuple[int, ...]
    places: tuple[tuple[LaidBlock, ...], ...]

    @property
    def arrays(self) -> int:
        """Number of arrays with this look."""
        return sum(self.counts)

    @property
    def cells(self) -> int:
        """Number of occupied cells in one of these arrays."""
        return sum(place[0].block.cells for place in self.places)

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages with blocks in these arrays."""
        return tuple(dict.fromkeys(laid.stage for layout in zip(*self.places, strict=True) for laid in layout))


def looks(floor: FloorPlan) -> tuple[Look, ...]:
    """Return the distinct looks of the arrays of a floor plan, in the order of the plan."""
    found: dict[object, list[tuple[int, tuple[LaidBlock, ...]]]] = {}
    for layout in floor.layouts:
        blocks = _in_order(layout)
        found.setdefault(tuple(_shape(laid) for laid in blocks), []).append((layout.count, blocks))
    return tuple(Look(tuple(count for count, _ in alike), tuple(zip(*(blocks for _, blocks in alike), strict=True))) for alike in found.values())


def _in_order(layout: ArrayLayout) -> tuple[LaidBlock, ...]:
    return tuple(sorted(layout.blocks, key=lambda laid: (laid.row, laid.column)))


def _shape(laid: LaidBlock) -> tuple[object, ...]:
    return laid.row, laid.column, laid.block.rows, laid.block.columns, laid.block.cells, laid.block.role


def most_used(found: Sequence[Look], shown: int) -> tuple[Look, ...]:
    """Return the `shown` looks with the most arrays, in their original order."""
    kept = sorted(range(len(found)), key=lambda place: (-found[place].arrays, place))[:shown]
    return tuple(found[place] for place in sorted(kept))


def fullest(floor: FloorPlan, slots: dict[str, Slots]) -> ArrayLayout:
    """Return the layout with the most distinct blocks; ties go to the most roles, then to the longest frame, then to the most occupied cells."""

    def worth(layout: ArrayLayout) -> tuple[int, int, int, int]:
        different = {(laid.stage, _shape(laid)[2:]) for laid in layout.blocks}
        roles = {laid.block.role for laid in layout.blocks}
        return len(different), len(roles), frame(layout, slots), sum(laid.block.cells for laid in layout.blocks)

    best = max(floor.layouts, key=worth)
    return ArrayLayout(best.count, _in_order(best))


def frame(layout: ArrayLayout, slots: dict[str, Slots]) -> int:
    """Return the number of slots after which the use of an array's blocks repeats."""
    return max(slots[laid.stage].period for laid in layout.blocks)


def slot_words(slots: Slots) -> str:
    """Return the slots of a stage in words: `every slot`, `slot 3 of every 8`."""
    return "every slot" if slots.period == 1 else f"slot {slots.phase} of every {slots.period}"


@dataclass(frozen=True, slots=True)
class Total:
    """Totals of one role over all arrays: blocks, enclosed cells and occupied cells."""

    role: str
    blocks: int
    enclosed: int
    cells: int


def totals(floor: FloorPlan) -> tuple[Total, ...]:
    """Return the totals of each role, in the order of the roles."""
    found: dict[str, list[int]] = {role: [0, 0, 0] for role in NAMES}
    for layout in floor.layouts:
        for laid in layout.blocks:
            block, sums = laid.block, found.setdefault(laid.block.role, [0, 0, 0])
            for place, each in enumerate((1, block.rows * block.columns, block.cells)):
                sums[place] += layout.count * each
    return tuple(Total(role, *sums) for role, sums in found.items() if sums[0])
