"""The report is opened in a real browser and read as a person would; pictures, trace and terminal are compared with the result."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib
import pytest
import torch
from matplotlib.patches import Rectangle
from rich.console import Console

from crossloom.errors import InputError, MachineError
from crossloom.job.result import Result
from crossloom.job.run import run
from crossloom.job.source import load
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph
from crossloom.network.operators import Linear, Relu, Softmax
from crossloom.report.figures import rows as rows_module
from crossloom.report.figures.pictures import Pictures
from crossloom.report.figures.svg import inline_svg
from crossloom.report.names import printable, shorten
from crossloom.report.notebook import summary_html
from crossloom.report.numbers.breakdown import bottleneck, component_rows, layer_energy, mark_rows, source_rows
from crossloom.report.numbers.headline import headlines, percent, rate
from crossloom.report.page.picture import NARROW
from crossloom.report.page.sections import EXTENSION
from crossloom.report.page.write import write_report
from crossloom.report.terminal.results import print_comparison, print_explain, print_machine, print_result
from crossloom.report.trace import perfetto_trace, write_trace
from crossloom.units import show
from tests.browser import Browser
from tests.layers import chain, seeded

WIDTHS = (9.5, 4.2, 3.5)
SECTIONS = {
    "energy": "Energy",
    "area": "Area",
    "latency": "Latency and dependencies",
    "gantt": "One inference through the pipeline",
    "utilization": "Utilization",
    "layers": "Layers",
    "placements": "Placement of layers",
    "plan": "How the values are computed",
    "actions": "Actions",
    "machine": "Machine",
    "sources": "Source of each number",
    "settings": "Run settings",
}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    r"$\frac{a}{$",
    "_hidden",
    "{{ 7 * 7 }}{% raw %}",
    "[red]loud[/red]",
    "line\nfeed\x00\x1b[31m\u202eback",
    "</svg></title><b>bold",
    "a" * 300,
)


@pytest.fixture(scope="module")
def digits() -> Result:
    """A small network with accuracy, on a machine that the user changed."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.rand(32, 1, 8, 8, generator=generator), torch.randint(0, 10, (32,), generator=generator)
    return run(load("zoo:digits"), load_machine("isaac-ce").with_(adc_bits=7), samples)


@pytest.fixture(scope="module")
def resnet() -> Result:
    """A network of a usual size, costs alone."""
    return run(load("zoo:resnet18"), load_machine("isaac-ce"))


@pytest.fixture(scope="module")
def deep() -> Result:
    """A network of 120 layers."""
    ops = [op for i in range(60) for op in ((Linear(), (seeded(i, 8, 8),)), (Relu(), ()))]
    graph = chain(*ops, shape=(8,))
    return run(renamed(graph, {f"n{i}": f"stack.{i // 10}.block.{i % 10}" for i in range(120)}), load_machine("isaac-ce"))


@pytest.fixture(scope="module")
def hostile() -> Result:
    """A network whose every name tries something, with an operator that needs an extension of the machine."""
    ops = [(Linear(), (seeded(i, 4, 4),)) for i in range(len(HOSTILE) - 1)]
    graph = chain(*ops, (Softmax(1), ()), shape=(4,))
    named = renamed(graph, {f"n{i}": name for i, name in enumerate(HOSTILE)})
    return run(replace(named, name="<script>alert(0)</script>"), load_machine("isaac-ce"))


def renamed(graph: Graph, names: dict[str, str]) -> Graph:
    """Return a graph whose nodes have other names."""
    nodes = tuple(replace(node, name=names[node.name], inputs=tuple(names.get(i, i) for i in node.inputs)) for node in graph.nodes)
    return replace(graph, nodes=nodes, outputs=tuple(names[name] for name in graph.outputs))


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, digits: Result, resnet: Result, deep: Result, hostile: Result) -> dict[str, Path]:
    """The report of each result."""
    folder = tmp_path_factory.mktemp("reports")
    named = {"digits": digits, "resnet": resnet, "deep": deep, "hostile": hostile}
    return {name: write_report(result, folder / f"{name}.html") for name, result in named.items()}


# The page, read in a browser


def test_the_numbers_on_the_cards_are_those_of_the_result(page: Browser, reports: dict[str, Path], digits: Result) -> None:
    page.open(reports["digits"])
    cards = page.js("Object.fromEntries([...document.querySelectorAll('.card')].map(card => [card.querySelector('dt').innerText, card.innerText]))")
    assert digits.accuracy is not None and digits.accuracy.float is not None
    static = sum(digits.ledger.static_j.values()) / digits.energy
    expected = {
        "Accuracy": (
            f"{digits.accuracy.machine:.2%}",
            f"float {digits.accuracy.float:.2%}",
            f"quantised {digits.accuracy.quantized:.2%}",
            "32 samples",
        ),
        "Latency": (show(digits.latency, "s"),),
        "Throughput": (rate(digits.throughput), bottleneck(digits), show(digits.timeline.interval_s, "s")),
        "Energy": (show(digits.energy, "J"), f"{static:.1%}"),
        "Power": (show(digits.power, "W"),),
        "Area": (show(digits.area, "mm²"), "1 chip"),
        "Chips": ("1", f"{sum(stage.arrays for stage in digits.program.stages):,} of 16,128 arrays"),
        "Utilization": tuple(f"{value:.1%}" for value in digits.utilization.values()),
    }
    assert list(cards) == list(expected)
    for name, texts in expected.items():
        for text in texts:
            assert text in cards[name], name


def test_every_section_has_its_heading_in_order(page: Browser, reports: dict[str, Path], digits: Result) -> None:
    page.open(reports["digits"])
    headings = page.js("[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => [h.tagName, h.innerText])")
    assert headings[0] == ["H1", f"{digits.program.graph.name} on isaac-ce"]
    assert headings[1:] == [["H2", "Notes"], *(["H2", title] for title in SECTIONS.values())]
    assert page.js("[...document.querySelectorAll('section')].map(s => s.id)") == list(SECTIONS)
    assert page.js("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.getAttribute('href')))")
    assert page.js("[...document.querySelectorAll('.warnings li')].map(li => li.innerText)") == list(digits.warnings)


def test_every_table_has_a_caption_and_all_its_rows(page: Browser, reports: dict[str, Path], digits: Result) -> None:
    page.open(reports["digits"])
    tables = page.js("Object.fromEntries([...document.querySelectorAll('table')].map(t => [t.id, [t.caption?.innerText, t.tBodies[0].rows.length]]))")
    machine = digits.program.machine
    counts = {
        "energy-table": sum(1 for row in component_rows(digits) if row.dynamic_j or row.static_j),
        "area-table": len(component_rows(digits)),
        "waits-table": len(digits.layers),
        "layers-table": len(digits.layers),
        "crossbar-table": sum(1 for row in digits.layers if row["arrays"]),
        "plan-table": len(digits.plans),
        "actions-table": len(digits.ledger.actions),
        "machine-table": sum(1 for part in machine.parts.values() if not part.extension),
        "choices-table": sum(len(settings) for settings in machine.engines.values()) + len(machine.compile),
        "marks-table": sum(1 for row in mark_rows(digits) if row.numbers),
        "sources-table": len(source_rows(digits)),
        "overrides-table": 1,
        "versions-table": 1 + len(digits.versions),
    }
    assert {name: count for name, (_, count) in tables.items()} == counts
    assert all(caption for caption, _ in tables.values())
    assert page.js("[...document.querySelectorAll('tr')].every(r => r.cells.length === r.closest('table').tHead.rows[0].cells.length)")


def test_the_tables_hold_the_numbers_of_the_result(page: Browser, reports: dict[str, Path], digits: Result) -> None:
    page.open(reports["digits"])
    read = "id => [...document.getElementById(id).tBodies[0].rows].map(r => [...r.cells].map(c => c.innerText))"
    layers = {row[0]: row for row in page.js(f"({read})('layers-table')")}
    for row in digits.layers:
        assert layers[row["name"]][2:5] == [row["op"], row["engine"], show(row["energy_j"], "J") if row["energy_j"] else "0"]
        assert layers[row["name"]][10] == f"{row['arrays']:,}"
    actions = {row[0]: int(row[1].replace(",", "")) for row in page.js(f"({read})('actions-table')")}
    assert actions == digits.ledger.actions
    assert "Computing the values gave the same counts." in page.js("document.getElementById('actions').innerText")
    assert [row[:2] for row in page.js(f"({read})('overrides-table')")] == [["chip.tile.ima.adc.bits", "7"]]
    assert ["seed", "0"] in page.js(f"({read})('versions-table')")
    parts = {row[1]: row for row in page.js(f"({read})('machine-table')")}
    adc = digits.program.machine.part("adc")
    assert parts["adc"][2:6] == ["16,128", show(adc.total * adc.area_mm2.value, "mm²"), show(adc.total * adc.power_w.value, "W"), "derived"]
    text = page.js("document.getElementById('sources').innerText")
    assert "Shafiee et al.: ISAAC" in text and "doi:10.1109/ISCA.2016.12" in text


def test_numbers_that_were_chosen_stand_out(page: Browser, reports: dict[str, Path]) -> None:
    page.open(reports["digits"])
    looks = page.js("Object.fromEntries([...document.querySelectorAll('.mark')].map(m => [m.innerText, getComputedStyle(m).backgroundColor]))")
    assert set(looks) == {"published", "derived", "assumed"}
    assert looks["assumed"] != looks["published"] == looks["derived"]


def test_a_part_beyond_the_paper_is_named_so_only_if_it_is_used(page: Browser, reports: dict[str, Path]) -> None:
    read = "[...document.querySelectorAll('.badge')].map(b => [b.closest('tr').cells[1].innerText, b.innerText])"
    page.open(reports["digits"])
    assert page.js(read) == []
    page.open(reports["hostile"])
    assert page.js(read) == [[f"vector\n{EXTENSION}", EXTENSION]]


@pytest.mark.parametrize("name", ["digits", "resnet", "deep", "hostile"])
def test_nothing_comes_from_outside(page: Browser, reports: dict[str, Path], name: str) -> None:
    page.open(reports[name])
    assert page.requests() == [reports[name].as_uri()]
    assert page.complaints() == []
    addresses = page.js(
        "[...document.querySelectorAll('[src], [href], link, object, iframe')].map(e => e.getAttribute('src') ?? e.getAttribute('href') ?? e.tagName)"
    )
    assert all(address.startswith("#") for address in addresses)
    text = reports[name].read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", text)


@pytest.mark.parametrize("name", ["digits", "resnet", "deep", "hostile"])
@pytest.mark.parametrize("width", [320, 400, 800, 1400])
def test_nobody_has_to_scroll_sideways(page: Browser, reports: dict[str, Path], name: str, width: int) -> None:
    page.open(reports[name], width=width)
    assert page.js("document.documentElement.scrollWidth") <= width
    wide, narrow = page.js("['.wide', '.narrow'].map(kind => [...document.querySelectorAll('figure ' + kind)].filter(e => e.offsetWidth).length)")
    assert (wide, narrow) == ((0, 5) if width < 640 else (5, 0))


@pytest.mark.parametrize("name", ["digits", "resnet", "deep", "hostile"])
@pytest.mark.parametrize("width", [400, 1400])
def test_texts_of_pictures_neither_collide_nor_leave_them(page: Browser, reports: dict[str, Path], name: str, width: int) -> None:
    page.open(reports[name], width=width)
    boxes = page.js(
        """[...document.querySelectorAll('figure svg')].filter(svg => svg.getBoundingClientRect().width).map(svg => ({
          view: svg.viewBox.baseVal.width, scale: svg.getBoundingClientRect().width / svg.viewBox.baseVal.width,
          texts: [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBBox()])
            .map(([t, b]) => [t, b.x, b.y, b.x + b.width, b.y + b.height])
        }))"""
    )
    assert len(boxes) == 5
    for picture in boxes:
        assert picture["scale"] * 7.5 >= 9, "text smaller than 9 pixels"
        for text, left, top, right, bottom in picture["texts"]:
            assert left >= -3 and right <= picture["view"] + 3, text
            for other, left2, top2, right2, bottom2 in picture["texts"]:
                apart = right <= left2 + 1 or right2 <= left + 1 or bottom <= top2 + 2 or bottom2 <= top + 2
                assert apart or (text, left, top) == (other, left2, top2), f"{text} lies on {other}"


CONTRASTS = """(() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = parse(c).slice(0, 3).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor, parts = parse(colour);
      if (parts.length < 4 || parts[3] > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const worst = {};
  for (const e of document.querySelectorAll('body *:not(script)')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.getBoundingClientRect().width || e.tagName === 'title') continue;
    const style = getComputedStyle(e), a = light(e.closest('svg') ? style.fill : style.color), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), key = e.tagName + '.' + e.className;
    worst[key] = Math.min(worst[key] ?? 99, ratio);
  }
  return worst;
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(page: Browser, reports: dict[str, Path], scheme: str) -> None:
    page.open(reports["digits"], scheme=scheme)
    contrasts = page.js(CONTRASTS)
    assert len(contrasts) > 8
    assert {name: ratio for name, ratio in contrasts.items() if ratio < 4.5} == {}


def test_the_dark_scheme_is_dark(page: Browser, reports: dict[str, Path]) -> None:
    looks = """['body', 'figure text', 'figure path[style*=series-1]'].map(which => getComputedStyle(document.querySelector(which)))
      .map(style => [style.backgroundColor, style.fill])"""
    page.open(reports["digits"], scheme="light")
    light, bright = page.js(looks), page.picture()
    page.open(reports["digits"], scheme="dark")
    dark, dim = page.js(looks), page.picture()
    assert all(one != other for one, other in zip(light, dark, strict=True))
    assert sum(int(part) for part in re.findall(r"\d+", dark[0][0])[:3]) < 150 < 600 < sum(int(part) for part in re.findall(r"\d+", light[0][0])[:3])
    assert bright != dim


def test_pictures_are_named_for_those_who_cannot_see_them(page: Browser, reports: dict[str, Path]) -> None:
    page.open(reports["digits"])
    assert (
        page.js("[...document.querySelectorAll('figure svg')].map(s => s.getAttribute('role') + (s.getAttribute('aria-label').length > 20))")
        == ["imgtrue"] * 10
    )
    assert page.js("document.documentElement.lang") == "en"
    assert page.js(
        "[...document.querySelectorAll('[id]')].map(e => e.id).length === new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    )
    tree = page.ask("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in tree if not node["ignored"]]
    assert roles.count("image") == 5 and "main" in roles and "navigation" in roles


def test_a_column_is_sorted_when_its_head_is_pressed(page: Browser, reports: dict[str, Path], digits: Result) -> None:
    page.open(reports["digits"])
    column = "place => [...document.getElementById('layers-table').tBodies[0].rows].map(r => r.cells[place].innerText)"
    before = page.js(f"({column})(0)")
    assert before == [row["name"] for row in digits.layers]
    press = "place => document.querySelectorAll('#layers-table thead button')[place].click()"
    page.js(f"({press})(4)")
    assert page.js(f"({column})(0)") == [row["name"] for row in sorted(reversed(digits.layers.rows), key=lambda row: -row["energy_j"])]
    assert page.js("document.querySelectorAll('#layers-table th')[4].getAttribute('aria-sort')") == "descending"
    page.js(f"({press})(4)")
    assert page.js("document.querySelectorAll('#layers-table th')[4].getAttribute('aria-sort')") == "ascending"
    page.js(f"({press})(0)")
    assert page.js(f"({column})(0)") == sorted(before)
    page.js(f"({press})(1)")
    page.js(f"({press})(1)")
    assert page.js(f"({column})(0)") == before


def test_it_reads_the_same_without_scripts(page: Browser, reports: dict[str, Path], digits: Result) -> None:
    page.open(reports["digits"], scripts=False)
    assert page.js("document.querySelectorAll('button').length") == 0
    assert page.js("document.getElementById('layers-table').tBodies[0].rows.length") == len(digits.layers)


def test_it_prints_on_pages(page: Browser, reports: dict[str, Path]) -> None:
    page.open(reports["digits"], scheme="dark")
    page.ask("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.js("[...document.querySelectorAll('.scroll')].every(e => getComputedStyle(e).overflow === 'visible')")
    assert {name: ratio for name, ratio in page.js(CONTRASTS).items() if ratio < 4.5} == {}
    assert page.pdf().startswith(b"%PDF")


def test_hostile_names_are_only_names(page: Browser, reports: dict[str, Path]) -> None:
    page.open(reports["hostile"])
    assert page.complaints() == []
    assert page.js("document.querySelectorAll('script').length") == 1
    assert page.js("document.querySelectorAll('img, b').length") == 0
    names = page.js("[...document.getElementById('layers-table').tBodies[0].rows].map(r => r.cells[0].textContent)")
    assert names == [printable(name) for name in HOSTILE]
    assert page.js("document.title") == "<script>alert(0)</script> on isaac-ce"
    labels = page.js("[...document.querySelectorAll('#gantt-picture .wide text')].map(t => t.textContent)")
    assert {shorten(name, 30) for name in HOSTILE} <= set(labels)


# The file


def test_the_same_result_gives_the_same_file(tmp_path: Path, digits: Result, reports: dict[str, Path]) -> None:
    with matplotlib.rc_context({"font.size": 31, "axes.grid": True, "svg.fonttype": "path"}):
        again = write_report(digits, tmp_path / "again.html")
    assert again.read_bytes() == reports["digits"].read_bytes()


def test_the_file_is_small(reports: dict[str, Path]) -> None:
    assert reports["digits"].stat().st_size < 250_000
    assert reports["resnet"].stat().st_size < 600_000


def test_a_write_that_fails_leaves_the_old_report(tmp_path: Path, digits: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_trace(digits, target)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"] and target.read_text() == "old"


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path, digits: Result) -> None:
    with pytest.raises(InputError, match=r"missing is not a folder; make it first"):
        write_trace(digits, tmp_path / "missing" / "trace.json")
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        write_trace(digits, tmp_path)


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named_with_the_remedy(tmp_path: Path, digits: Result, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package}: pip install 'crossloom\[report\]'"):
        write_report(digits, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_holds_report_and_trace(tmp_path: Path, digits: Result, reports: dict[str, Path]) -> None:
    folder = digits.save(tmp_path / "run")
    assert (folder / "report.html").read_bytes() == reports["digits"].read_bytes()
    assert json.loads((folder / "trace.json").read_text(encoding="utf-8")) == perfetto_trace(digits)


# Pictures


def close(value: object) -> object:
    """Return what equals a value, or values, but for rounding, however small they are."""
    return pytest.approx(value, rel=1e-9, abs=1e-30)


def bars(axes: matplotlib.axes.Axes) -> dict[int, list[tuple[float, float]]]:
    """Return start and length of the bars in each row."""
    found: dict[int, list[tuple[float, float]]] = {}
    for patch in axes.patches:
        assert isinstance(patch, Rectangle)
        found.setdefault(round(patch.get_y() + patch.get_height() / 2), []).append((patch.get_x(), patch.get_width()))
    return found


def labels(axes: matplotlib.axes.Axes) -> list[str]:
    """Return the names of the rows, from top to bottom."""
    return [tick.get_text() for tick in axes.get_yticklabels()]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["digits", "resnet", "deep", "hostile"])
def test_bars_of_energy_add_up_to_the_ledger(request: pytest.FixtureRequest, name: str, width: float) -> None:
    result: Result = request.getfixturevalue(name)
    totals, layers = Pictures(result, width).energy().axes
    work = sum(entry.energy_j for entry in result.ledger.entries)
    assert sum(length for _, length in bars(totals)[0]) == close(work)
    assert sum(length for _, length in bars(totals)[1]) == close(sum(result.ledger.static_j.values()))
    drawn = bars(layers)
    for row, energies in enumerate(layer_energy(result).values()):
        assert sum(length for _, length in drawn.get(row, [])) == close(sum(energies.values()))
    assert sum(length for row in drawn.values() for _, length in row) == close(work)


def test_segments_of_a_bar_lie_end_to_end(resnet: Result) -> None:
    for axes in Pictures(resnet).energy().axes:
        for row in bars(axes).values():
            for (start, length), (following, _) in pairwise(row):
                assert start + length == close(following)


@pytest.mark.parametrize("width", WIDTHS)
def test_bars_of_area_add_up_to_one_chip(resnet: Result, width: float) -> None:
    (axes,) = Pictures(resnet, width).area().axes
    lengths = [length for row in sorted(bars(axes).items()) for _, length in row[1]]
    assert sum(lengths) == close(resnet.area / resnet.program.chips)
    assert lengths[:-1] == sorted(lengths[:-1], reverse=True) and len(lengths) == 13
    assert labels(axes)[-1] == "3 others"


@pytest.mark.parametrize("name", ["digits", "resnet", "deep", "hostile"])
def test_rows_of_the_gantt_chart_are_the_stages(request: pytest.FixtureRequest, name: str) -> None:
    result: Result = request.getfixturevalue(name)
    (axes,) = Pictures(result).gantt().axes
    drawn = bars(axes)
    assert len(drawn) == len(result.timeline.rows)
    for row, expected in zip(range(len(drawn)), result.timeline.rows, strict=True):
        span, busy = drawn[row]
        assert span == close((expected.start_s, expected.finish_s - expected.start_s))
        assert busy == close((expected.start_s, expected.busy_s))


def test_the_stage_that_sets_the_pace_has_its_own_colour(resnet: Result) -> None:
    for figure in (Pictures(resnet).gantt(), Pictures(resnet).latency()):
        patches = figure.axes[0].patches
        names = [row["name"] for row in resnet.layers]
        colours = {names[place // 2]: patch.get_facecolor() for place, patch in enumerate(patches) if place % 2}
        slowest = colours.pop(bottleneck(resnet))
        assert slowest not in colours.values() and len(set(colours.values())) == 1


def test_bars_of_latency_and_utilization_are_those_of_the_layers(resnet: Result) -> None:
    (axes,) = Pictures(resnet).latency().axes
    for row, layer in enumerate(resnet.layers):
        assert bars(axes)[row] == [close((0, layer["latency_s"])), close((0, layer["busy_s"]))]
    held = [row for row in resnet.layers if row["arrays"]]
    columns = [[length for row in sorted(bars(axes).items()) for _, length in row[1]] for axes in Pictures(resnet).utilization().axes]
    assert columns[0] == [row["arrays"] for row in held]
    assert columns[1] == close([row["utilization"] for row in held])
    assert columns[2] == close([row["busy_s"] / resnet.timeline.interval_s for row in held])


@pytest.mark.parametrize("width", WIDTHS)
def test_many_layers_still_fit_on_a_sheet(deep: Result, width: float) -> None:
    for name in ("energy", "latency", "gantt", "utilization"):
        figure = getattr(Pictures(deep, width), name)()
        assert figure.get_size_inches()[1] < 12
        axes = figure.axes[1 if name == "energy" else 0]
        ticks = axes.get_yticks()
        pitch = axes.get_position().height * figure.get_size_inches()[1] / abs(axes.get_ylim()[0] - axes.get_ylim()[1])
        assert len(ticks) >= 30 and min(b - a for a, b in pairwise(ticks)) * pitch >= rows_module.APART - 1e-9
    (gantt,) = Pictures(deep).gantt().axes
    assert shorten(bottleneck(deep), 30) in labels(gantt)


def test_a_network_without_arrays_has_a_report(tmp_path: Path) -> None:
    result = run(chain((Relu(), ()), shape=(8,)), load_machine("isaac-ce"))
    text = write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No layer uses arrays." in text
    assert Pictures(result).utilization().axes


def test_svg_is_lean_and_escaped(hostile: Result) -> None:
    text = inline_svg(Pictures(hostile, NARROW).gantt(), "label <b>")
    assert "id=" not in text and "xlink" not in text and "<g" not in text
    assert "&lt;script&gt;" in text and "<script>" not in text and 'aria-label="label &lt;b&gt;"' in text


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("letters", [5, 17, 30])
def test_a_shortened_name_is_short(name: str, letters: int) -> None:
    assert len(shorten(name, letters)) <= letters
    assert "\n" not in shorten(name, letters) and "\x1b" not in shorten(name, letters)


# Trace


@pytest.mark.parametrize("name", ["digits", "resnet", "deep", "hostile"])
def test_the_trace_agrees_with_the_timeline(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> None:
    result: Result = request.getfixturevalue(name)
    trace = json.loads(write_trace(result, tmp_path / "trace.json").read_text(encoding="utf-8"))
    assert trace == perfetto_trace(result)
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    for track, row in enumerate(result.timeline.rows, 1):
        own = {event["cat"]: event for event in spans if event["tid"] == track}
        under_way = own["under way"]
        assert under_way["ts"] == close(row.start_s * 1e6)
        assert under_way["ts"] + under_way["dur"] == close(row.finish_s * 1e6)
        assert under_way["args"]["busy_us"] == close(row.busy_s * 1e6)
        assert ("waiting" in own) == (row.start_s > 0) and ("working" in own) == (row.busy_s > 0)
        if "waiting" in own:
            assert own["waiting"]["ts"] == 0 and own["waiting"]["dur"] == close(under_way["ts"])
        if "working" in own:
            assert own["working"]["ts"] == under_way["ts"] and own["working"]["dur"] <= under_way["dur"]
    names = [event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"]
    assert names == [printable(row["name"]) for row in result.layers]
    assert [event["args"]["sets_the_pace"] for event in spans if event["cat"] == "under way"].count(True) == 1


def test_the_counters_of_the_trace_begin_and_end_at_nothing(resnet: Result) -> None:
    counters: dict[str, list[tuple[float, int]]] = {}
    for event in perfetto_trace(resnet)["traceEvents"]:
        if event["ph"] == "C":
            counters.setdefault(event["name"], []).append((event["ts"], event["args"]["count"]))
    assert set(counters) == {"stages under way", "arrays under way"}
    for steps in counters.values():
        assert steps == sorted(steps, key=lambda step: step[0]) and min(count for _, count in steps) == 0 and steps[-1][1] == 0
        assert steps[-1][0] == close(resnet.latency * 1e6)
    assert max(count for _, count in counters["arrays under way"]) <= sum(row["arrays"] for row in resnet.layers)


# Notebook and terminal


@pytest.mark.parametrize("name", ["digits", "resnet", "hostile"])
def test_the_notebook_shows_the_headline_without_help(request: pytest.FixtureRequest, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    result: Result = request.getfixturevalue(name)
    text = summary_html(result)
    assert text == result._repr_html_()
    for line in headlines(result):
        assert f">{line.value}<" in text and line.label in text
    shares = [float(part) for part in re.findall(r"flex:([\d.]+)", text)]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert not re.search(r"https?://|<script|<img", text)
    assert len(text) < 10_000


def said(width: int = 80) -> tuple[Console, io.StringIO]:
    """Return a terminal of a width, and what is written to it."""
    written = io.StringIO()
    return Console(file=written, width=width, force_terminal=False), written


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("name", ["digits", "resnet", "deep", "hostile"])
def test_a_result_fits_the_terminal(request: pytest.FixtureRequest, name: str, width: int) -> None:
    result: Result = request.getfixturevalue(name)
    console, written = said(width)
    print_result(result, console)
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= width and "\x1b" not in written.getvalue()
    if width >= 80:
        for value in (show(result.latency, "s"), show(result.energy, "J"), show(result.area, "mm²"), rate(result.throughput)):
            assert value in written.getvalue()
        largest = component_rows(result)[0]
        assert any(largest.name in line and percent(largest.energy_share) in line for line in lines)


def test_a_result_as_text_is_printable(hostile: Result) -> None:
    assert all(line.isprintable() for line in str(hostile).splitlines())


def test_brackets_in_names_are_no_markup(hostile: Result) -> None:
    console, written = said(200)
    print_result(hostile, console)
    assert "[red]loud[/red]" in written.getvalue()


def test_the_terminal_shows_parts_with_source_and_mark(isaac: Machine) -> None:
    console, written = said()
    print_machine(isaac.with_(adc_bits=7), console)
    text = written.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert show(isaac.with_(adc_bits=7).area_mm2, "mm²") in text and "hypertransport" in text and "published" in text and "derived" in text
    assert all(part.name in text for part in isaac.built_in())
    assert text.count("shafiee2016") >= len(list(isaac.built_in())), "no source is cut off"
    assert "not in the paper, counted only if a program uses it: chip.vector" in text
    assert "set by the user: chip.tile.ima.adc.bits = 7" in text


def test_the_terminal_explains_each_number(isaac: Machine) -> None:
    console, written = said(120)
    print_explain(isaac.with_(adc_bits=7), "adc", console)
    text = written.getvalue()
    assert re.search(r"convert\.latency +781\.3 ps +published +shafiee2016 Section VI", text)
    assert re.search(r"bits +7 +set by the user", text)
    console, written = said()
    print_explain(isaac, None, console)
    assert max(map(len, written.getvalue().splitlines())) <= 80
    with pytest.raises(MachineError, match="has no field flux"):
        print_explain(isaac, "flux", console)


def test_machines_stand_side_by_side_with_ratios(digits: Result, resnet: Result) -> None:
    console, written = said()
    print_comparison([digits, resnet, digits, resnet], console)
    text = written.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert f"(×{resnet.energy / digits.energy:.3g})" in text and f"(×{resnet.throughput / digits.throughput:.3g})" in text
    assert len(re.findall(r"^ *latency\b", text, re.MULTILINE | re.IGNORECASE)) == 2, "four results take two tables at this width"
    assert len(re.findall("calibrated on random inputs", text)) == 1


@pytest.mark.parametrize(("value", "text"), [(0, "0.0%"), (1e-9, "<0.1%"), (0.421, "42.1%"), (0.99999, ">99.9%"), (1, "100.0%")])
def test_a_share_is_never_shown_as_nothing_or_all_unless_it_is(value: float, text: str) -> None:
    assert percent(value) == text
