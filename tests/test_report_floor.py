"""Floor plans in the report: every block is drawn where it lies, and what is drawn over time adds up to the readings."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle
from rich.console import Console
from torch import nn

from crossloom.errors import InputError
from crossloom.job.result import Result
from crossloom.job.run import run
from crossloom.job.source import load
from crossloom.machines import load_machine
from crossloom.network.operators import Linear, Softmax
from crossloom.program.floorplan import ArrayLayout, CellBlock, FloorPlan, LaidBlock
from crossloom.report.figures.floorplan import SHOWN, SIDE, floor_figure
from crossloom.report.figures.pictures import Pictures
from crossloom.report.names import printable
from crossloom.report.numbers.activity import BINS, runs, slots_of, strip
from crossloom.report.numbers.floorplan import frame, fullest, looks, most_used, totals
from crossloom.report.page.floorplan import floor_sections
from crossloom.report.page.model import Section
from crossloom.report.page.picture import NARROW
from crossloom.report.page.write import page_of, write_report
from crossloom.report.terminal.results import print_result
from tests.browser import Browser
from tests.layers import Residual, chain, seeded
from tests.test_report import CONTRASTS, HOSTILE, renamed

KEYS = ["floor", "activity", "array"]
POINTS = 72


@pytest.fixture(scope="module")
def small() -> Result:
    """A network with every role of a block, on so few arrays that blocks have to share lines."""
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Residual(16),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
        nn.Softmax(1),
    )
    return run(load(nn.Sequential(*layers), (torch.randn(2, 1, 8, 8),)), load_machine("hurry").with_(**{"chip.tile.count": 1}))


@pytest.fixture(scope="module")
def resnet() -> Result:
    """A network of a usual size."""
    return run(load("zoo:resnet18"), load_machine("hurry"))


@pytest.fixture(params=["small", "resnet"])
def result(request: pytest.FixtureRequest) -> Result:
    """Each of them."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Result)
    return found


def plan_of(result: Result) -> FloorPlan:
    """Return the floor plan, which is there."""
    assert result.program.floor is not None
    return result.program.floor


def section(result: Result, key: str) -> Section:
    """Return a section on shared arrays."""
    return next(section for section in floor_sections(result) if section.key == key)


def test_the_small_network_has_blocks_of_every_role_that_share_lines(small: Result) -> None:
    assert {total.role for total in totals(plan_of(small))} == {"product", "largest", "sum", "softmax"}
    assert frame(fullest(plan_of(small), slots_of(small.program)), slots_of(small.program)) > 1


def test_only_shared_arrays_have_a_floor_plan(small: Result) -> None:
    assert [each.key for each in page_of(small).sections if each.key in KEYS] == KEYS
    whole = run(small.program.network, load_machine("isaac-ce"))
    assert not {each.key for each in page_of(whole).sections} & set(KEYS)
    assert whole.to_dict()["floor"] is None
    for key in KEYS:
        with pytest.raises(InputError, match="each array belongs to one layer"):
            getattr(whole.plot, key)()


# What lies where


def test_arrays_that_look_alike_are_drawn_once(result: Result) -> None:
    floor = plan_of(result)
    found = looks(floor)
    shapes = [Counter((laid.row, laid.column, laid.block) for laid in layout.blocks) for layout in floor.layouts]
    drawn = [Counter((place[0].row, place[0].column, place[0].block) for place in look.places) for look in found]
    assert all(drawn.count(shape) == 1 for shape in shapes) and len(drawn) == len({str(sorted(map(str, each))) for each in shapes})
    assert sum(look.arrays for look in found) == floor.arrays
    assert sum(look.arrays * look.cells for look in found) == floor.cells
    assert {stage for look in found for stage in look.stages} == {laid.stage for layout in floor.layouts for laid in layout.blocks}


def boxes(svg: str, words: str) -> list[tuple[float, float, float, float]]:
    """Return left, top, width and height, in inches, of the paths whose tooltip has certain words."""
    found = []
    for path in ElementTree.fromstring(svg).iter("path"):
        if words in (path.findtext("title") or ""):
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.attrib["d"])]
            across, down = numbers[::2], numbers[1::2]
            found.append(tuple(value / POINTS for value in (min(across), min(down), max(across) - min(across), max(down) - min(down))))
    return found


def test_every_block_is_drawn_once_and_to_scale(result: Result) -> None:
    floor = plan_of(result)
    picture = section(result, "floor").picture
    assert picture is not None
    arrays, blocks = boxes(picture.wide, "used"), boxes(picture.wide, "of the cells occupied")
    found = looks(floor)
    assert len(arrays) == len(found) <= SHOWN
    expected = [
        (
            left + SIDE * laid.column / floor.columns,
            top + SIDE * laid.row / floor.rows,
            laid.block.columns / floor.columns,
            laid.block.rows / floor.rows,
        )
        for (left, top, _, _), look in zip(arrays, found, strict=True)
        for laid in (place[0] for place in look.places)
    ]
    assert len(blocks) == len(expected)
    assert np.array(blocks) == pytest.approx(np.array(expected), abs=0.02 / POINTS * 2)
    for (left, top, width, height), (left2, top2, *_) in pairwise(arrays):
        assert (width, height) == pytest.approx((SIDE, SIDE), abs=1e-3)
        assert left2 >= left + SIDE or top2 >= top + SIDE


def test_a_tooltip_says_whose_a_block_is_and_when_it_has_its_turn(small: Result) -> None:
    picture = section(small, "floor").picture
    assert picture is not None
    titles = [path.findtext("title") or "" for path in ElementTree.fromstring(picture.wide).iter("path")]
    for layout in plan_of(small).layouts:
        for laid in layout.blocks:
            stage = small.program.by_name[laid.stage]
            assert stage.slots is not None
            slot = "every slot" if stage.slots.period == 1 else f"slot {stage.slots.phase} of every {stage.slots.period}"
            size = f"{laid.block.rows} rows × {laid.block.columns} columns"
            assert any(f"{stage.nodes[0]} ({slot})" in title and size in title for title in titles), laid


def test_looks_beyond_the_limit_are_counted(small: Result) -> None:
    stage = next(iter(slots_of(small.program)))
    layouts = tuple(ArrayLayout(1 + (rows > 20), (LaidBlock(stage, 0, 0, CellBlock(rows, 9, cells=rows * 9)),)) for rows in range(1, SHOWN + 21))
    floor = FloorPlan(512, 512, layouts)
    every = looks(floor)
    assert most_used(every, SHOWN) == every[20:], "the most used, in order"
    words = [text.get_text() for text in floor_figure(small.program, floor, 9.5).texts]
    assert "and 20 other layouts, 20 arrays" in words
    assert not any("other layout" in text.get_text() for text in floor_figure(small.program, plan_of(small), 9.5).texts)


def test_cells_add_up_to_those_of_all_arrays(result: Result) -> None:
    floor = plan_of(result)
    found = totals(floor)
    whole = floor.arrays * floor.rows * floor.columns
    assert sum(total.cells for total in found) == floor.cells
    assert sum(total.blocks for total in found) == sum(layout.count * len(layout.blocks) for layout in floor.layouts)
    table = section(result, "floor").tables[0]
    rows = [(row[2].order, row[3].order) for row in table.rows]
    assert sum(cells or 0 for cells, _ in rows) == whole == table.total[2].order
    assert sum(share or 0 for _, share in rows) == pytest.approx(1)
    held = sum(row[3].order or 0 for row in table.rows[:-2])
    assert held == pytest.approx(result.utilization["spatial"])


def test_the_tables_say_what_the_pictures_show(result: Result) -> None:
    floor, found = plan_of(result), looks(plan_of(result))
    table = section(result, "floor").tables[1]
    assert [row[1].order for row in table.rows] == [look.arrays for look in found]
    assert [row[3].text.count(";") + 1 for row in table.rows] == [len(look.places) for look in found]
    slots = slots_of(result.program)
    blocks = fullest(floor, slots).blocks
    for row, laid in zip(section(result, "array").tables[0].rows, blocks, strict=True):
        assert row[2].text == f"{laid.row}–{laid.row + laid.block.rows - 1}"
        shares = any(laid.crosses(other) for other in blocks if other is not laid)
        assert (row[6].text != "–") == shares


# When it is at work


def test_bins_add_up_to_the_time_at_work(result: Result) -> None:
    found, interval_s = strip(result), result.timeline.interval_s
    length_s = result.latency / BINS
    assert found.shares.shape == (len(found.stages), BINS) and found.shares.max() <= 1 + 1e-9
    for each, shares in zip(found.stages, found.shares, strict=True):
        assert shares.sum() * length_s == pytest.approx(result.program.by_name[each.stage].active_s)
        row = result.timeline.by_name[each.stage]
        assert row.start_s == each.start_s < each.end_s <= row.finish_s + each.slots.length_s
    temporal = result.utilization["temporal"]
    assert found.alone.sum() * length_s == pytest.approx(temporal * interval_s)
    whole = result.latency // interval_s
    assert whole * interval_s * temporal <= found.pipeline.sum() * length_s * (1 + 1e-9)
    assert found.pipeline.sum() * length_s <= (whole + 1) * interval_s * temporal * (1 + 1e-9)
    assert (found.pipeline >= found.alone - 1e-12).all() and found.pipeline.max() <= 1 + 1e-9


def test_the_rows_of_the_strip_are_the_stages_that_share_arrays(result: Result) -> None:
    _, axes = [each for each in Pictures(result).activity().axes if each.get_frame_on() is False]
    drawn: dict[int, float] = {}
    for patch in axes.patches:
        assert isinstance(patch, Rectangle)
        row = round(patch.get_y() + patch.get_height() / 2)
        drawn[row] = drawn.get(row, 0.0) + patch.get_width()
    found = strip(result)
    assert set(drawn) == set(range(len(found.stages)))
    assert [each.stage for each in found.stages] == [stage.name for stage in result.program.stages if stage.arrays]
    for row, shares in enumerate(found.shares):
        assert drawn[row] == pytest.approx((shares > 0).sum() * result.latency / BINS)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_runs_are_the_bins_again(levels: list[int]) -> None:
    values = np.array(levels) / 3
    again = np.zeros(len(levels))
    for first, last, value in runs(values):
        again[first:last] += value
    assert again == pytest.approx(values)


@pytest.mark.parametrize("width", [9.5, NARROW])
def test_blocks_that_share_a_line_are_never_drawn_in_one_turn(small: Result, width: float) -> None:
    slots = slots_of(small.program)
    layout = fullest(plan_of(small), slots)
    _, axes = Pictures(small, width).array().axes
    drawn: dict[int, set[int]] = {}
    for patch in axes.patches:
        assert isinstance(patch, Rectangle)
        if patch.get_width() < 1:
            drawn.setdefault(round(patch.get_y() + patch.get_height() / 2), set()).add(int(patch.get_x()))
    count = round(axes.get_xlim()[1])
    assert count >= frame(layout, slots)
    for row, laid in enumerate(layout.blocks):
        own = slots[laid.stage]
        assert drawn[row] == {slot for slot in range(count) if slot % own.period == own.phase}
        for other, block in enumerate(layout.blocks[:row]):
            assert not (laid.crosses(block) and drawn[row] & drawn[other])


# The file, and other ways to read it


def test_the_floor_plan_is_in_the_json(result: Result) -> None:
    floor = plan_of(result)
    said = json.loads(result.to_json())["floor"]
    assert (said["arrays"], said["rows"], said["columns"]) == (floor.arrays, floor.rows, floor.columns)
    layers = {row["name"] for row in result.layers}
    for layout, expected in zip(said["layouts"], floor.layouts, strict=True):
        assert layout["count"] == expected.count
        for block, laid in zip(layout["blocks"], expected.blocks, strict=True):
            slots = result.program.by_name[laid.stage].slots
            assert slots is not None and block.pop("stage") in layers
            place = {"row": laid.row, "column": laid.column, "rows": laid.block.rows, "columns": laid.block.columns, "cells": laid.block.cells}
            assert block == {"role": laid.block.role, **place, "period": slots.period, "phase": slots.phase}


def test_the_terminal_counts_blocks(small: Result) -> None:
    written = io.StringIO()
    print_result(small, Console(file=written, width=100))
    blocks = sum(layout.count * len(layout.blocks) for layout in plan_of(small).layouts)
    assert re.search(rf"Blocks +{blocks} +in {small.program.arrays} arrays", written.getvalue())


def test_the_file_is_small_and_the_same_each_time(tmp_path: Path, resnet: Result) -> None:
    first, second = (write_report(resnet, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second and len(first) < 700_000


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, small: Result, resnet: Result) -> dict[str, Path]:
    """The report of each result."""
    folder = tmp_path_factory.mktemp("reports")
    return {name: write_report(result, folder / f"{name}.html") for name, result in {"small": small, "resnet": resnet}.items()}


@pytest.mark.parametrize("name", ["small", "resnet"])
def test_nothing_comes_from_outside(page: Browser, reports: dict[str, Path], name: str) -> None:
    page.open(reports[name])
    assert page.requests() == [reports[name].as_uri()] and page.complaints() == []
    assert not re.search(r"https?://|@import|url\(", reports[name].read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["small", "resnet"])
@pytest.mark.parametrize("width", [320, 500, 1100, 1400])
def test_pictures_are_legible_at_every_width(page: Browser, reports: dict[str, Path], name: str, width: int) -> None:
    page.open(reports[name], width=width)
    assert page.js("document.documentElement.scrollWidth") <= width
    pictures = page.js(
        f"""{json.dumps(KEYS)}.flatMap(key => [...document.querySelectorAll(`#${{key}}-picture svg`)]).filter(svg => svg.getBoundingClientRect().width)
        .map(svg => ({{view: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height,
          texts: [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBBox()]).map(([t, b]) => [t, b.x, b.y, b.x + b.width, b.y + b.height])
        }}))"""
    )
    assert len(pictures) == len(KEYS)
    for picture in pictures:
        for place, (text, left, top, right, bottom) in enumerate(picture["texts"]):
            assert left >= -3 and right <= picture["view"] + 3 and top >= -3 and bottom <= picture["height"] + 3, text
            for other, left2, top2, right2, bottom2 in picture["texts"][:place]:
                apart = right <= left2 + 1 or right2 <= left + 1 or bottom <= top2 + 2 or bottom2 <= top + 2
                assert apart, f"{text} lies on {other}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(page: Browser, reports: dict[str, Path], scheme: str) -> None:
    page.open(reports["small"], scheme=scheme)
    assert {name: ratio for name, ratio in page.js(CONTRASTS).items() if ratio < 4.5} == {}


def test_pictures_are_named_for_those_who_cannot_see_them(page: Browser, reports: dict[str, Path]) -> None:
    page.open(reports["small"])
    labels = page.js(f"{json.dumps(KEYS)}.map(key => document.querySelector(`#${{key}}-picture .wide svg`).getAttribute('aria-label'))")
    assert all(label.endswith("The same numbers are in the tables.") for label in labels) and len(set(labels)) == len(KEYS)
    assert page.js(f"{json.dumps(KEYS)}.every(key => document.querySelector(`#${{key}} table caption`))")


def test_hostile_names_are_only_names(page: Browser, tmp_path: Path) -> None:
    ops = [(Linear(), (seeded(i, 4, 4),)) for i in range(len(HOSTILE) - 1)]
    graph = renamed(chain(*ops, (Softmax(1), ()), shape=(4,)), {f"n{i}": name for i, name in enumerate(HOSTILE)})
    page.open(write_report(run(graph, load_machine("hurry")), tmp_path / "report.html"))
    assert page.complaints() == [] and page.js("document.querySelectorAll('script').length") == 1
    titles = page.js("[...document.querySelectorAll('#floor-picture .wide title')].map(title => title.textContent)")
    assert all(any(printable(name) in title for title in titles) for name in HOSTILE)
    assert page.js("[...document.getElementById('activity-table').tBodies[0].rows].map(row => row.cells[0].textContent)") == [
        *map(printable, HOSTILE)
    ]
