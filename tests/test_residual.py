"""Residual additions on the bit lines of products: against naive sums, the plain reference, the price, and floating point."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from crossloom.compiler import compile_network
from crossloom.compiler.parse import parse_program
from crossloom.engine.crossbar.engine import layer_of, reference_executor
from crossloom.engine.crossbar.mapping.residual import Added, column_groups
from crossloom.engine.crossbar.reference.analog import analog_reference
from crossloom.engine.crossbar.settings import crossbars
from crossloom.engine.digital.work import work_of
from crossloom.engine.registry import adapted
from crossloom.errors import ModelError
from crossloom.job.check import macs
from crossloom.job.source import load
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Add, Conv, Linear, MaxPool, Operator, ProductAdd, Relu
from crossloom.network.quantization import Quantization
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.network.text import parse_graph, print_graph
from crossloom.network.types import Batch, TensorType
from crossloom.program.dependencies import SamePosition, Window
from crossloom.program.text import print_program
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values
from crossloom.training.chip_module import to_torch
from tests.layers import seeded

ISAAC = load_machine("isaac-ce").with_(residual="analog")


@dataclass(frozen=True)
class Net:
    """A network under construction: real tensors run along, so that types and shapes come by themselves."""

    nodes: tuple[Node, ...]
    constants: dict[str, Tensor]
    inputs: dict[str, Tensor]
    values: dict[str, Tensor]

    @classmethod
    def of(cls, **inputs: Tensor) -> Net:
        return cls((), {}, inputs, dict(inputs))

    def add(self, name: str, op: Operator, *sources: str, **constants: Tensor) -> Net:
        own = {f"{name}.{key}": value for key, value in constants.items()}
        values = self.values | own
        found = op(*(values[each] for each in (*sources, *own)))
        node = Node(name, op, (*sources, *own), TensorType("f32", (Batch(), *found.shape[1:])))
        return Net((*self.nodes, node), self.constants | own, self.inputs, values | {name: found})

    def graph(self, *outputs: str) -> Graph:
        given = tuple((name, TensorType("f32", (Batch(), *value.shape[1:]))) for name, value in self.inputs.items())
        return Graph("net", given, self.nodes, outputs, self.constants)

    def quantized(self, *outputs: str, recipe: Recipe | None = None) -> Graph:
        return quantize(self.graph(*outputs), [tuple(self.inputs.values())], recipe)

    @property
    def x(self) -> tuple[Tensor, ...]:
        return tuple(self.inputs.values())


def conv(stride: int = 1, padding: tuple[int, ...] = (1, 1, 1, 1), dilation: int = 1, groups: int = 1) -> Conv:
    return Conv((stride, stride), padding, (dilation, dilation), groups)


@st.composite
def nets(draw: st.DrawFn) -> tuple[Graph, tuple[Tensor, ...]]:
    """y = product(x) + r for x and r with signs or without, perhaps with a ReLU after it and the operands exchanged."""
    seed, batch = draw(st.integers(0, 10_000)), 2
    inputs, outputs = draw(st.integers(1, 6)), draw(st.integers(1, 7)) * draw(st.sampled_from([1, 2, 4]))
    bits = draw(st.integers(4, 9))
    recipe = Recipe(draw(st.integers(5, 9)), bits, draw(st.booleans()), draw(st.sampled_from(["symmetric", "affine"])))
    own = {"b": seeded(seed + 1, outputs)} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        op: Operator = Linear()
        x, weight = seeded(seed, batch, 3, inputs), seeded(seed + 2, outputs, inputs)
    else:
        kernel, size = draw(st.sampled_from([(1, 1), (3, 3), (3, 1)])), (6, 7)
        stride = draw(st.integers(1, 2))
        op = Conv((stride, stride), tuple(draw(st.integers(0, 2)) for _ in range(4)), (draw(st.integers(1, 2)), 1))
        x, weight = seeded(seed, batch, inputs, *size), seeded(seed + 2, outputs, inputs, *kernel)
    r = seeded(seed + 3, *op(x, weight).shape) * draw(st.sampled_from([0.5, 3.0, 40.0]))
    x, r = (tensor.abs() if draw(st.booleans()) else tensor for tensor in (x, r))
    net = Net.of(x=x, r=r).add("p", op, "x", w=weight, **own)
    net = net.add("y", Add(), *(("p", "r") if draw(st.booleans()) else ("r", "p")))
    last = "y"
    if draw(st.booleans()):
        net, last = net.add("z", Relu(), "y"), "z"
    graph = net.quantized(last, recipe=recipe)
    if draw(st.booleans()) and (less := draw(st.integers(0, 2))):  # the residual has fewer bits than the input
        q = graph.quantization["r"]
        fewer = Quantization((q.scale[0] * 2**less,), q.zero >> less, q.bits - less, q.signed)
        graph = replace(graph, quantization={**graph.quantization, "r": fewer})
    return graph, net.x


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """An ISAAC with other arrays, converters, encodings and dataflows."""
    encoding = draw(st.sampled_from(["offset", "differential", "twos_complement"]))
    accumulate = draw(st.sampled_from(["digital", "digital", "buffered", "analog"]))
    flip = encoding == "offset" and accumulate == "digital" and draw(st.booleans())
    return ISAAC.with_(
        array_rows=draw(st.sampled_from([16, 32, 128])),
        array_columns=draw(st.sampled_from([32, 48, 128])),
        cell_bits=draw(st.integers(1, 4)),
        adc_bits=draw(st.integers(2, 9)),
        dac_bits=draw(st.sampled_from([1, 1, 2, 4])),
        encoding=encoding,
        flip=flip,
        accumulate=accumulate,
        range=draw(st.sampled_from(["unit", "full", "layer"])),
        unit_column=flip or draw(st.booleans()),
        residual_rows=draw(st.sampled_from([1, 2, 8, 64])),
    )


def fusions(graph: Graph) -> list[Node]:
    return [node for node in graph if isinstance(node.op, ProductAdd)]


def naive(graph: Graph, x: tuple[Tensor, ...]) -> Tensor:
    """The fused node y of x and r in 64-bit integers, one term after the other, with the requantisation of `integer/__init__.py`."""
    (node,) = fusions(graph)
    q = graph.quantization
    product, (_, weight, bias, _, gain) = node.op.product, node.inputs
    a, r = (q[name].quantize(tensor).to(torch.int64) - q[name].zero for name, tensor in zip("xr", x, strict=True))
    w, k, b = (graph.constants[name].to(torch.int64) for name in (weight, gain, bias))
    if isinstance(product, Linear):
        sums = (a[..., None, :] * w).sum(-1) + b + k * r
    else:
        (top, left, bottom, right), (n, _, height, width) = product.padding, a.shape
        padded = torch.zeros(n, a.shape[1], height + top + bottom, width + left + right, dtype=torch.int64)
        padded[:, :, top : top + height, left : left + width] = a
        sums = torch.zeros_like(r)
        for i in range(r.shape[2]):
            for j in range(r.shape[3]):
                for u in range(w.shape[2]):
                    for v in range(w.shape[3]):
                        pixel = padded[:, :, i * product.stride[0] + u * product.dilation[0], j * product.stride[1] + v * product.dilation[1]]
                        sums[:, :, i, j] += pixel @ w[:, :, u, v].T
        along = (-1, 1, 1)
        sums = sums + b.reshape(along) + k.reshape(along) * r
    s_w = torch.tensor(q[weight].scale)
    factor = torch.tensor(q["x"].scale[0]) * s_w / torch.tensor(q["y"].scale[0])
    factor = factor if isinstance(product, Linear) or factor.numel() == 1 else factor.reshape(-1, 1, 1)
    return torch.clamp(torch.round(sums.to(torch.float32) * factor) + q["y"].zero, q["y"].low, q["y"].high)


@settings(max_examples=80)
@given(nets(), st.sampled_from([1, 2, 8, 64]))
def test_the_adapted_network_computes_products_plus_gain_times_residual(net, rows: int) -> None:
    graph, x = net
    changed, notes = adapted(graph, ISAAC.with_(residual_rows=rows))
    if not fusions(changed):
        assert any("stays digital" in note for note in notes)
        return
    (node,) = fusions(changed)
    seen = []
    values = Values.exactly(compile_network(graph, ISAAC.with_(residual_rows=rows)))
    values(x, watch=lambda at, given, result: seen.append(result) if at.name == node.name else None)
    assert torch.equal(seen[0].to(torch.float32), naive(changed, x))
    assert adapted(changed, ISAAC.with_(residual_rows=rows))[0] is changed


@settings(max_examples=150)
@given(nets(), machines())
def test_every_plan_equals_the_reference_in_values_and_counts(net, machine: Machine) -> None:
    graph, x = net
    program = compile_network(graph, machine)
    (found,), counts = Values.of(program)(x)
    (plain,), plain_counts = Values.of(program, {"crossbar": reference_executor})(x)
    assert torch.equal(found, plain)
    ledger: Counter[str] = Counter()
    for stage in program.stages:
        ledger.update({name: len(x[0]) * count for name, count in stage.actions.items()})
    assert counts == plain_counts == ledger


@settings(max_examples=80)
@given(nets(), machines())
def test_a_lossless_converter_gives_the_integers_of_the_adapted_network(net, machine: Machine) -> None:
    graph, x = net
    exact = machine.with_(adc_bits=56, range="unit")
    program = compile_network(graph, exact)
    values = Values.of(program)
    assert {plan["plan"] for plan in values.plans} == {"integer product"}
    assert torch.equal(values(x)[0][0], program.graph(*x))
    assert torch.equal(Values.of(program, {"crossbar": reference_executor})(x)[0][0], program.graph(*x))


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 1 << 14), min_size=6, max_size=6),
    st.integers(2, 9),
    st.integers(2, 9),
    st.booleans(),
    st.booleans(),
    st.integers(4, 9),
    st.integers(1, 9),
)
def test_digits_of_a_residual_times_its_cells_are_gain_times_residual(gains, x_bits, r_bits, x_signed, r_signed, weight_bits, rows) -> None:
    """Codes are in the range of the input's digits, cells in that of weights, and the constant is known."""
    x, q = Quantization((1.0,), 0, max(x_bits, r_bits), x_signed), Quantization((1.0,), 1, min(x_bits, r_bits), r_signed)
    weight = Quantization((1.0,), 0, weight_bits, narrow=True)
    k = torch.tensor(gains)
    added = Added.of(q, k, x, weight, rows)
    if not added.whole:
        k = k >> added.places << added.places
        added = Added.of(q, k, x, weight, rows)
    assert added.whole and added.rows <= rows
    low, high = (-(1 << (added.bits - 1)), (1 << (added.bits - 1)) - 1) if x_signed else (0, (1 << added.bits) - 1)
    r = torch.arange(q.low, q.high + 1)[:, None].expand(-1, 6)
    for groups in (1, 2, 3):
        driven, block = added.driven(r, groups), added.block(groups)
        assert low <= int(driven.min()) and int(driven.max()) <= high
        assert int(block.abs().max()) <= weight.high
        sums = torch.einsum("mgr,grc->mgc", driven.to(torch.int64), block).flatten(1)
        assert torch.equal(sums - added.constant, k * (r - q.zero))


@given(st.integers(1, 600), st.integers(1, 64))
def test_results_are_cut_into_matrices_that_nearly_fill_arrays_or_not_at_all(columns: int, fit: int) -> None:
    groups = column_groups(columns, fit)
    assert columns % groups == 0
    if groups > 1:
        assert fit / 2 <= columns // groups <= fit
    if columns <= fit:
        assert groups == 1


def block(width: int = 16, size: int = 8, seed: int = 0) -> Net:
    """Two residual blocks: the first with the identity, the second with a convolution of stride 2 beside it."""
    net = Net.of(x=seeded(seed, 4, width, size, size).abs())
    wide = 2 * width

    def weights(number: int, *shape: int) -> dict[str, Tensor]:
        return {"w": seeded(seed + number, *shape) / (shape[1] * shape[2] * shape[3]) ** 0.5, "b": 0.1 * seeded(seed + number + 50, shape[0])}

    net = net.add("a1", conv(), "x", **weights(1, width, width, 3, 3)).add("a2", Relu(), "a1")
    net = net.add("a3", conv(), "a2", **weights(2, width, width, 3, 3)).add("a4", Add(), "a3", "x").add("a5", Relu(), "a4")
    net = net.add("b1", conv(2), "a5", **weights(3, wide, width, 3, 3)).add("b2", Relu(), "b1")
    net = net.add("b3", conv(), "b2", **weights(4, wide, wide, 3, 3))
    net = net.add("s", conv(2, (0, 0, 0, 0)), "a5", **weights(5, wide, width, 1, 1))
    return net.add("b4", Add(), "s", "b3").add("b5", Relu(), "b4")


def test_a_residual_network_is_as_close_to_floating_point_as_with_digital_additions() -> None:
    """The change is bounded: half a step of K for each element of the residual, less the rounding of the product that is gone."""
    net = block()
    graph = net.quantized("b5")
    program = compile_network(graph, ISAAC)
    (first, second) = fusions(program.graph)
    assert (first.name, second.name) == ("a4", "b4")
    assert second.inputs[0] == "b2" and second.inputs[3] == "s", "the product with more rows takes in the other"
    assert not program.stage_of.keys() & {"a3", "b3"} and "a3" not in program.graph.quantization
    want = net.graph("b5")(*net.x)
    errors = [float((each(*net.x) - want).norm() / want.norm()) for each in (graph, program.graph)]
    assert errors[1] < 1.05 * errors[0] + 1e-3
    assert torch.equal(Values.of(program)(net.x)[0][0], program.graph(*net.x))


@settings(max_examples=40)
@given(st.integers(0, 1000), st.sampled_from([1, 4, 32]), st.sampled_from([0.3, 1.0, 20.0]))
def test_what_rounding_the_gain_costs_is_bounded(seed: int, rows: int, scale: float) -> None:
    """|y' − y| ≤ Σ over roundings: half a step of each result, half a step of the product, and (2^k / 2)·s_x·s_w·|r − z| of the gain.

    K differs from s_r / (s_x s_w) by at most half of 2^k, and an element of the residual counts with K · s_x · s_w for each of its steps.
    """
    x, r = seeded(seed, 3, 12), scale * seeded(seed + 1, 3, 9)
    net = Net.of(x=x, r=r).add("p", Linear(), "x", w=seeded(seed + 2, 9, 12)).add("y", Add(), "p", "r")
    graph = net.quantized("y")
    changed, _ = adapted(graph, ISAAC.with_(residual_rows=rows))
    assume(fusions(changed))
    (node,) = fusions(changed)
    q = graph.quantization
    added = Added.of(q["r"], changed.constants["y.gain"], q["x"], q["p.w"], rows)
    unit = q["x"].scale[0] * torch.tensor(q["p.w"].scale)
    steps = (q["r"].quantize(r) - q["r"].zero).abs()
    step = 1 << added.places
    assert node.inputs[3] == "r"
    assert bool(
        ((changed.constants["y.gain"] * unit / q["r"].scale[0] - 1).abs() <= (step / 2 + 1e-3) / (changed.constants["y.gain"] - step / 2)).all()
    )
    bound = q["y"].scale[0] + 0.5 * q["p"].scale[0] + step / 2 * unit * steps
    inside = (graph(x, r).abs() < 0.98 * graph(x, r).abs().max()) & (changed(x, r).abs() < 0.98 * changed(x, r).abs().max())
    assert bool(((graph(x, r) - changed(x, r)).abs() <= bound * (1 + 1e-4))[inside].all())


def _linear(**inputs: Tensor) -> Net:
    return Net.of(**inputs).add("p", Linear(), "x", w=seeded(7, 8, 8))


def _two() -> dict[str, Tensor]:
    return {"x": seeded(1, 2, 3, 8), "r": seeded(2, 2, 3, 8)}


@pytest.mark.parametrize(
    ("net", "outputs", "says"),
    [
        (Net.of(**_two()).add("y", Add(), "x", "r"), ("y",), "neither operand is the result of a convolution"),
        (_linear(**_two()).add("y", Add(), "p", "r"), ("y", "p"), "the product is read elsewhere"),
        (_linear(x=seeded(1, 2, 3, 8)).add("y", Add(), "p", "p"), ("y",), "the product is read elsewhere"),
        (_linear(x=seeded(1, 2, 3, 8), r=seeded(2, 2, 1, 8)).add("y", Add(), "p", "r"), ("y",), "the operands differ in shape"),
        (_linear(x=seeded(1, 2, 3, 8), r=1e-4 * seeded(2, 2, 3, 8)).add("y", Add(), "p", "r"), ("y",), "a gain is so small"),
        (_linear(x=seeded(1, 2, 3, 8), r=1e6 * seeded(2, 2, 3, 8)).add("y", Add(), "p", "r"), ("y",), "a gain is too large for 16 bits"),
        (
            Net.of(x=seeded(1, 2, 4, 5, 5), r=seeded(2, 2, 4, 5, 5)).add("p", conv(groups=2), "x", w=seeded(3, 4, 2, 3, 3)).add("y", Add(), "p", "r"),
            ("y",),
            "the convolution is grouped",
        ),
    ],
    ids=["no product", "read twice", "twice itself", "broadcast", "small gain", "large gain", "grouped"],
)
def test_what_stays_digital_says_why(net: Net, outputs: tuple[str, ...], says: str) -> None:
    graph = net.quantized(*outputs)
    program = compile_network(graph, ISAAC)
    assert not fusions(program.graph)
    assert program.graph is graph
    assert any(note.startswith(f"1 addition stays digital: {says}") for note in program.notes)
    assert not any("addition" in note for note in compile_network(graph, ISAAC.with_(residual="digital")).notes)


def test_a_residual_of_more_bits_than_the_input_stays_digital() -> None:
    graph = _linear(**_two()).add("y", Add(), "p", "r").quantized("y")
    q = graph.quantization["r"]
    wide = replace(graph, quantization={**graph.quantization, "r": Quantization((q.scale[0] / 4,), 0, 10)})
    assert any("more bits than the product's input" in note for note in compile_network(wide, ISAAC).notes)


def test_a_network_without_residuals_is_unchanged() -> None:
    net = Net.of(x=seeded(1, 2, 4, 8, 8)).add("c", conv(), "x", w=seeded(2, 8, 4, 3, 3)).add("m", MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)), "c")
    graph = net.add("b", Add(), "m", c=seeded(3, 8, 1, 1)).quantized("b")
    analog, digital = (compile_network(graph, ISAAC.with_(residual=where)) for where in ("analog", "digital"))
    assert analog.graph is graph
    assert str(analog) == str(digital)


def test_programs_and_graphs_print_and_parse() -> None:
    graph = block().quantized("b5")
    program = compile_network(graph, ISAAC)
    text = print_program(program)
    assert print_program(parse_program(text, graph, ISAAC)) == text
    printed = print_graph(program.graph)
    assert print_graph(parse_graph(printed, program.graph.constants)) == printed
    assert "ProductAdd(product=Conv(stride=(1, 1)" in printed


def test_a_residual_is_waited_for_pixel_by_pixel() -> None:
    program = compile_network(block().quantized("b5"), ISAAC)
    waits = {wait.stage: wait.rule for wait in program.stage_of["b4"].dependencies}
    assert isinstance(waits["b2"], Window) and isinstance(waits["s"], SamePosition)
    assert read_timeline(program).latency_s > 0


def test_more_rows_for_fewer_cycles() -> None:
    graph = block().quantized("b5")
    few, many = (compile_network(graph, ISAAC.with_(residual_rows=rows)).stage_of["a4"] for rows in (1, 64))
    assert few.placement.rows < many.placement.rows
    assert few.interval_s > many.interval_s
    assert many.interval_s == compile_network(graph, ISAAC.with_(residual="digital")).stage_of["a3"].interval_s


def test_the_input_is_fetched_once_for_all_matrices() -> None:
    graph = block(64).quantized("b5")
    analog, digital = (compile_network(graph, ISAAC.with_(residual=where)) for where in ("analog", "digital"))
    stage, before = analog.stage_of["a4"], digital.stage_of["a3"]
    assert stage.placement.groups == 2
    assert stage.actions["buffer.read"] == before.actions["buffer.read"] + 64 * 64
    assert stage.actions["adc.convert"] > before.actions["adc.convert"]
    assert stage.placement.utilization < before.placement.utilization


def test_work_and_macs_of_a_product_with_a_residual() -> None:
    graph = compile_network(block().quantized("b5"), ISAAC).graph
    node = graph.node("a4")
    work = work_of(node, [graph.types[name].sizes() for name in node.inputs], node.type.sizes())
    assert (work.kind, work.count) == ("multiply_add", 16 * 64 * (16 * 9 + 1))
    assert macs(node, graph) == 16 * 64 * 16 * 9


def test_the_digital_engine_computes_it_too() -> None:
    net = block()
    graph = compile_network(net.quantized("b5"), ISAAC).graph
    alone = replace(ISAAC, engines={"digital": ISAAC.engines["digital"]})
    program = compile_network(graph, alone)
    assert {stage.engine for stage in program.stages} == {"digital"}
    assert torch.equal(Values.of(program)(net.x)[0][0], graph(*net.x))


@pytest.mark.parametrize(
    "change",
    [{}, {"range": "ideal"}, {"accumulate": "analog", "flip": False, "range": "full"}, {"accumulate": "buffered", "flip": False, "range": "full"}],
    ids=str,
)
def test_real_cells_run_and_repeat_by_seed(change: dict[str, str]) -> None:
    net = block(8, 4)
    program = compile_network(net.quantized("b5"), ISAAC.with_(cell="pcm", age="1 h", compensate="column", **change))
    answers = [Values.of(program, seed=seed)(net.x)[0][0] for seed in (1, 1, 2)]
    assert torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[0], answers[2])
    (whole,), (half,) = (
        Values.of(program, seed=1)(tuple(each[part] for each in net.x), first)[0] for part, first in ((slice(4), 0), (slice(2, 4), 2))
    )
    assert torch.equal(whole[2:], half), "noise belongs to an inference, not to a batch"


def test_real_wires_equal_their_reference() -> None:
    net = block(4, 4)
    machine = ISAAC.with_(word_resistance="2 Ohm", bit_resistance="2 Ohm", array_rows=32, array_columns=16, dac_bits=2, range="full")
    program = compile_network(net.quantized("b5"), machine)
    given = {}
    Values.exactly(program)(tuple(each[:1] for each in net.x), watch=lambda node, inputs, _: given.update({node.name: inputs}))
    node, inputs = program.graph.node("a4"), given["a4"]
    stage = program.stage_of["a4"]
    layer = layer_of(node, program.graph, crossbars(machine), stage.placement)
    found = Values.of(program).executors["a4"].chosen.sums.built(inputs[0], None, inputs[3])
    assert torch.allclose(found, analog_reference(layer, inputs[0], 0, inputs[3]), atol=1e-9)


def test_training_refuses_residuals_in_arrays() -> None:
    with pytest.raises(ModelError, match=r"set crossbar\.residual=digital"):
        to_torch(block(8, 4).quantized("b5"), ISAAC)


def test_all_additions_of_resnet18_are_fused() -> None:
    network = load("zoo:resnet18")
    shape = network.inputs[0][1].sizes(1)
    graph = quantize(network, [torch.rand(1, *shape[1:], generator=torch.Generator().manual_seed(0))])
    program = compile_network(graph, ISAAC)
    assert len(fusions(program.graph)) == 8
    assert not any(isinstance(node.op, Add) for node in program.graph)
    assert any(note.startswith("8 residual additions are made on the bit lines") for note in program.notes)
    shortcuts = [node.inputs[3] for node in fusions(program.graph) if isinstance(program.graph.by_name[node.inputs[3]].op, Conv)]
    assert len(shortcuts) == 3
