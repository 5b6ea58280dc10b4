"""Products of two activations in arrays: against the integers, against the plain definition, and what the writing costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from crossloom.compiler import compile_network
from crossloom.compiler.parse import parse_program
from crossloom.engine.dynamic.compute import ProductExecutor, ReferenceProduct
from crossloom.engine.dynamic.geometry import Geometry
from crossloom.errors import MachineError
from crossloom.job.source import load
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import MatMul, Store
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.network.types import Batch, TensorType
from crossloom.program.program import Program
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values
from tests.layers import seeded

WRITTEN = load_machine("isaac-ce").with_(products="written")
REWRITTEN = WRITTEN.with_(products="rewritten")


class Attention(nn.Module):
    """One attention layer with a residual; keys and values of a second tensor if there is one."""

    def __init__(self, width: int, heads: int, causal: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query, self.key, self.value, self.project = (nn.Linear(width, width, bias=bias) for _ in range(4))

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        y = x if other is None else other
        q, k, v = (f(t).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, t in ((self.query, x), (self.key, y), (self.value, y)))
        attended = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        z: Tensor = x + self.project(attended.transpose(1, 2).flatten(2))
        return z


@cache
def attention(tokens: int = 6, width: int = 16, heads: int = 2, causal: bool = False, recipe: Recipe | None = None) -> tuple[Graph, Tensor]:
    torch.manual_seed(3)
    module, x = Attention(width, heads, causal).eval(), seeded(1, 4, tokens, width)
    return quantize(load(module, (x[:1],)), [x], recipe), x


def priced(program: Program) -> Counter[str]:
    counts: Counter[str] = Counter()
    for stage in program.stages:
        counts.update(stage.actions)
    return counts


def product_of(program: Program) -> list[str]:
    return [node.name for node in program.graph.nodes if isinstance(node.op, MatMul)]


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    encoding = draw(st.sampled_from(["offset", "differential", "twos_complement"]))
    accumulate = draw(st.sampled_from(["digital", "digital", "buffered", "analog"]))
    flip = encoding == "offset" and accumulate == "digital" and draw(st.booleans())
    return WRITTEN.with_(
        products=draw(st.sampled_from(["written", "rewritten"])),
        array_rows=draw(st.sampled_from([8, 16, 128])),
        array_columns=draw(st.sampled_from([24, 32, 128])),
        cell_bits=draw(st.integers(1, 3)),
        adc_bits=draw(st.integers(3, 9)),
        dac_bits=draw(st.sampled_from([1, 1, 2])),
        encoding=encoding,
        flip=flip,
        accumulate=accumulate,
        range=draw(st.sampled_from(["unit", "full"])),
        unit_column=flip or draw(st.booleans()),
    )


@settings(deadline=None, max_examples=25)
@given(machines(), st.sampled_from(["symmetric", "affine"]), st.integers(3, 8), st.booleans())
def test_products_equal_their_definition(machine: Machine, scheme: str, bits: int, ideal: bool) -> None:
    """Digit by digit and slice by slice, every action counted where it happens; and the integers themselves if converters are left out."""
    graph, x = attention(recipe=Recipe(8, bits, True, scheme))
    program = compile_network(graph, machine.with_(range="ideal") if ideal else machine)
    values = Values.of(program)
    (fast,), counts = values((x,))
    plain = {n: ReferenceProduct(e) if isinstance(e, ProductExecutor) else e for n, e in values.executors.items()}
    (slow,), counted = replace(values, executors=plain)((x,))
    assert torch.equal(fast, slow)
    assert counts == counted == Counter({name: len(x) * count for name, count in priced(program).items()})
    if ideal:
        (exact,), _ = Values.exactly(program)((x,))
        assert torch.equal(fast, exact)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=3), *[st.integers(1, 4)] * 4)
def test_geometry_gives_every_matrix_its_vectors(leading: list[tuple[int, bool]], batch: int, m: int, k: int, p: int) -> None:
    left, right = seeded(1, batch, *(size for size, _ in leading), m, k), seeded(2, batch, *(size if own else 1 for size, own in leading), k, p)
    types = (TensorType("f32", (Batch(), *t.shape[1:])) for t in (left, right))
    graph = Graph("product", tuple(zip("ab", types, strict=True)), (Node("y", MatMul(), ("a", "b"), TensorType("f32", ())),), ("y",))
    shape = Geometry.of(graph.nodes[0], graph)
    folded, held = shape.left(left), shape.right(right)
    assert held.shape == (batch, shape.groups, k, p) and folded.shape == (batch, shape.groups, shape.per_group, k)
    torch.testing.assert_close(shape.result(folded @ held), left @ right)


def test_written_attention_is_what_was_asked_for() -> None:
    graph, x = attention()
    program = compile_network(graph, WRITTEN)
    assert torch.equal(Values.of(program)((x,))[0][0], graph(x))
    stores = [node for node in program.graph.nodes if isinstance(node.op, Store)]
    assert [program.graph.types[node.name].shape[1:] for node in stores] == [(2, 8, 6), (2, 6, 8)]
    assert [node.op.axis for node in stores if isinstance(node.op, Store)] == [-1, -2]
    for store, product in zip(stores, product_of(program), strict=True):
        assert program.by_name[product].shares == store.name


def test_lines_written() -> None:
    """A token of Kᵀ is a bit line for each slice in each row tile, one of V a word line in each column tile; copies are written too.

    There are no more copies than make reading as short as writing: four of K, whose writing takes a quarter of its reading.
    """
    graph, _ = attention(tokens=6, width=32, heads=2)
    program = compile_network(graph, WRITTEN.with_(array_rows=8, array_columns=32, replicate="none"))
    keys, values = (stage for stage in program.stages if stage.name.endswith(".store"))
    assert (keys.placement.row_tiles, keys.placement.slices, values.placement.column_tiles) == (2, 4, 2)
    assert keys.actions["array.write_row"] == 6 * 2 * 2 * 4
    assert values.actions["array.write_row"] == 6 * 2 * 2
    line_s = WRITTEN.part("array").actions["write_row"].latency_s.value
    assert keys.interval_s == pytest.approx(4 * line_s) and values.interval_s == pytest.approx(line_s)
    copied = compile_network(graph, WRITTEN.with_(array_rows=8, array_columns=32))
    for store, copies in ((keys.name, 4), (values.name, 6)):
        stage, reader = copied.by_name[store], next(s for s in copied.stages if s.shares == store)
        assert reader.copies == copies and stage.arrays == copies * stage.placement.arrays
        assert stage.actions["array.write_row"] == copies * program.by_name[store].actions["array.write_row"]


def test_arrays_are_written_and_read_in_turns() -> None:
    """No array is written and read at once, nor written anew before it has been read for the last time."""
    graph, _ = attention(tokens=12)
    program = compile_network(graph, WRITTEN.with_(**{"write_row.latency": "2 us"}))
    store, product = (program.by_name[name] for name in ("scaled_dot_product_attention_2.store", "scaled_dot_product_attention_2"))
    timeline = read_timeline(program)
    rows = timeline.by_name
    held = {name: rows[name].finish_s - rows[f"{name}.store"].start_s for name in product_of(program)}
    assert timeline.interval_s == pytest.approx(max(held.values())) and timeline.interval_s >= store.busy_s + product.busy_s
    assert timeline.limited_by == "the operand held" and timeline.bottleneck == max(held, key=lambda name: held[name]) + ".store"
    assert timeline.by_name[product.name].start_s >= timeline.by_name[store.name].finish_s


def test_a_second_set_of_cells_is_written_while_one_is_read() -> None:
    """Twice the arrays, half the time that an inference keeps its cells from the next one, half the wear; the same work."""
    graph, x = attention(tokens=12)
    one, two = (compile_network(graph, WRITTEN.with_(operand_sets=sets, replicate="none")) for sets in (1, 2))
    assert torch.equal(Values.of(two)((x,))[0][0], graph(x))
    assert priced(one) == priced(two) == Counter({name: count // len(x) for name, count in Values.of(two)((x,))[1].items()})
    first, second = read_timeline(one), read_timeline(two)
    assert first.limited_by == "the operand held" and second.interval_s < 0.6 * first.interval_s and second.latency_s == first.latency_s
    for stage, other in zip(one.stages, two.stages, strict=True):
        if stage.name.endswith(".store"):
            assert (other.arrays, other.residency.writes_per_inference) == (2 * stage.arrays, stage.residency.writes_per_inference / 2)


def test_a_causal_mask_lets_rows_begin_early() -> None:
    times = {}
    for causal in (False, True):
        graph, x = attention(tokens=16, causal=causal)
        program = compile_network(graph, WRITTEN.with_(replicate="none"))
        assert torch.equal(Values.of(program)((x,))[0][0], graph(x))
        times[causal] = read_timeline(program).latency_s
    assert times[True] < 0.7 * times[False]


class Step(nn.Module):
    """One step of decoding: the key and value of a token join those of a cache."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, new_key: Tensor, new_value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keys, values = torch.cat((key, new_key), 2), torch.cat((value, new_value), 2)
        return nn.functional.scaled_dot_product_attention(query, keys, values), keys, values


def test_a_cache_stays_in_the_cells() -> None:
    """A decoding step writes its own token alone; each cell is written once in as many steps as the cache has tokens."""
    x = [seeded(i, 2, 2, size, 8) for i, size in enumerate((1, 15, 15, 1, 1))]
    graph = quantize(load(Step(), tuple(t[:1] for t in x)), [tuple(x)])
    program = compile_network(graph, WRITTEN.with_(replicate="none"))
    assert torch.equal(Values.of(program)(x)[0][0], graph(*x)[0])
    stores = [stage for stage in program.stages if stage.name.endswith(".store")]
    assert [program.graph.node(s.name).op for s in stores] == [Store(-1, 15), Store(-2, 15)]
    assert [s.actions["array.write_row"] for s in stores] == [2 * 4, 2]
    assert [s.residency.writes_per_inference for s in stores] == [pytest.approx(1 / 16)] * 2
    timeline = read_timeline(program)
    assert timeline.interval_s == timeline.latency_s
    assert timeline.limited_by == "the sequence"


def test_rewritten_attention_stores_the_input_once() -> None:
    graph, x = attention()
    program = compile_network(graph, REWRITTEN)
    (store,) = (node for node in program.graph.nodes if isinstance(node.op, Store))
    assert program.graph.types[store.name].shape[1:] == (1, 6, 16)
    assert not any(name in program.graph.by_name for name in ("key", "value"))
    scores, mean = product_of(program)
    assert program.by_name[scores].shares == program.by_name[mean].shares == store.name
    (found,), counts = Values.of(program)((x,))
    assert counts["array.write_row"] == len(x) * program.by_name[store.name].actions["array.write_row"]
    step = graph.quantization[graph.outputs[0]].scale[0]
    assert float((found - graph(x)).abs().max()) <= 6 * step


def test_an_input_stored_twice_serves_two_products_at_once() -> None:
    graph, x = attention(tokens=16)
    once, twice = (compile_network(graph, REWRITTEN.with_(dual_access=each, replicate="none")) for each in (True, False))
    assert torch.equal(Values.of(once)((x,))[0][0], Values.of(twice)((x,))[0][0])
    lines = [priced(program)["array.write_row"] for program in (once, twice)]
    assert lines[1] > lines[0]
    assert read_timeline(twice).latency_s < 0.8 * read_timeline(once).latency_s


def test_rewritten_attention_is_the_same_attention() -> None:
    """With sixteen bits everywhere hardly anything is rounded, so that an error of the algebra would show."""
    torch.manual_seed(3)
    module, x = Attention(16, 2).eval(), seeded(1, 4, 6, 16)
    graph = quantize(load(module, (x[:1],)), [x], Recipe(16, 16))
    (found,), _ = Values.exactly(compile_network(graph, REWRITTEN))((x,))
    torch.testing.assert_close(found, module(x), rtol=0, atol=1e-3)


def test_cross_attention_is_rewritten_too() -> None:
    torch.manual_seed(3)
    module, x, y = Attention(16, 4).eval(), seeded(1, 3, 5, 16), seeded(2, 3, 7, 16)
    graph = quantize(load(module, (x[:1], y[:1])), [(x, y)], Recipe(16, 16))
    (found,), _ = Values.exactly(compile_network(graph, REWRITTEN))((x, y))
    torch.testing.assert_close(found, module(x, y), rtol=0, atol=1e-3)


class Rotated(Attention):
    """Keys that are turned by their position, as in rotary embeddings, are no linear function of the input alone."""

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        turn = torch.linspace(0.1, 1, x.shape[1])[:, None]
        z: Tensor = nn.functional.scaled_dot_product_attention(q * turn, k * turn, v).transpose(1, 2).flatten(2)
        return z


def test_what_cannot_be_rewritten_is_written_and_said() -> None:
    torch.manual_seed(3)
    module, x = Rotated(16, 2).eval(), seeded(1, 4, 6, 16)
    graph = quantize(load(module, (x[:1],)), [x])
    program = compile_network(graph, REWRITTEN)
    assert any("is not rewritten: keys or values are not the plain result of a linear layer" in note for note in program.notes)
    assert len([node for node in program.graph.nodes if isinstance(node.op, Store)]) == 2
    assert torch.equal(Values.of(program)((x,))[0][0], graph(x))


def test_cells_err_anew_with_every_writing_whatever_the_batch() -> None:
    graph, x = attention()
    program = compile_network(graph, WRITTEN.with_(cell="gaussian", lowest="10 uS", age="1 s"))
    values = Values.of(program, seed=2)
    whole = values((x,))[0][0]
    assert not torch.equal(whole, graph(x))
    parts = torch.cat([values((x[:3],))[0][0], values((x[3:],), first=3)[0][0]])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, Values.of(program, seed=3)((x,))[0][0])
    twice, _ = values((torch.cat((x[:1], x[:1])),))
    assert not torch.equal(twice[0][:1], twice[0][1:])


def test_ranges_of_products_are_set_by_samples() -> None:
    graph, x = attention()
    machine = WRITTEN.with_(flip=False, accumulate="analog", range="layer")
    reaches = {s.name: s.placement.observed_range for s in compile_network(graph, machine).stages if s.engine == "dynamic"}
    assert all(reaches[name] for name in reaches if not name.endswith(".store"))
    error = {r: float((Values.of(compile_network(graph, machine.with_(range=r)))((x,))[0][0] - graph(x)).abs().mean()) for r in ("layer", "full")}
    assert error["layer"] < error["full"]


def test_programs_with_stores_print_and_parse() -> None:
    for machine in (WRITTEN, REWRITTEN):
        graph, _ = attention()
        program = compile_network(graph, machine)
        parsed = parse_program(str(program), graph, machine)
        assert (parsed.stages, parsed.notes, str(parsed.graph)) == (program.stages, program.notes, str(program.graph))
        assert program.network is graph


def test_stores_are_shared_where_weights_are_not() -> None:
    program = compile_network(attention()[0], WRITTEN.with_(tied="copied"))
    assert [stage.shares for stage in program.stages if stage.engine == "dynamic"][1::2] == [f"{name}.store" for name in product_of(program)]


def test_digital_by_default() -> None:
    program = compile_network(attention()[0], load_machine("isaac-ce"))
    assert {program.stage_of[name].engine for name in product_of(program)} == {"digital"}


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(MachineError, match=r"engines.dynamic.products: Input should be 'digital', 'written' or 'rewritten', got 'writen'"):
        compile_network(attention()[0], WRITTEN.with_(products="writen"))


class Between(Attention):
    """Something between scores and softmax."""

    def __init__(self, kind: str) -> None:
        super().__init__(16, 2)
        self.kind = kind

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (2, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        scores, later = q @ k.transpose(-1, -2) / 8**0.5, torch.ones(6, 6, dtype=torch.bool).triu(1)
        made = {
            "tanh": lambda: 2 * torch.tanh(scores / 2),
            "relu": lambda: torch.relu(scores),
            "gate": lambda: scores * torch.linspace(0.5, 1.5, 6),
            "zeros": lambda: scores.masked_fill(later, 0.0),
            "hidden": lambda: scores.masked_fill(later, -1e9),
            "bias": lambda: scores + torch.linspace(-1, 1, 6),
            "scale": lambda: 3 * scores,
        }[self.kind]()
        z: Tensor = (torch.softmax(made, -1) @ v).transpose(1, 2).flatten(2)
        return z


@pytest.mark.parametrize(
    ("kind", "rewritten"), [("tanh", False), ("relu", False), ("gate", False), ("zeros", False), ("hidden", True), ("bias", True), ("scale", True)]
)
def test_only_what_a_softmax_does_not_see_is_dropped(kind: str, rewritten: bool) -> None:
    """The bias of the keys adds the same to a whole row of scores: after a tanh or a gate it no longer does."""
    torch.manual_seed(3)
    module, x = Between(kind).eval(), seeded(1, 6, 6, 16)
    torch.nn.init.normal_(module.key.bias)
    program = compile_network(quantize(load(module, (x[:1],)), [x], Recipe(16, 16)), REWRITTEN)
    assert any(".rewritten." in node.name for node in program.graph.nodes) == rewritten
    assert any("between scores and softmax is not an addition" in note for note in program.notes) != rewritten
    torch.testing.assert_close(Values.exactly(program)((x,))[0][0], module(x), rtol=0, atol=1e-3)


@pytest.mark.parametrize("batch_first", [True, False])
def test_torch_encoder_layers_are_rewritten(batch_first: bool) -> None:
    torch.manual_seed(3)
    module, x = nn.TransformerEncoderLayer(16, 2, 32, batch_first=batch_first, dropout=0.0).eval(), seeded(1, 6, 5, 16)

    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = module

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.layer(x) if batch_first else self.layer(x.transpose(0, 1)).transpose(0, 1)
            return y

    program = compile_network(quantize(load(First().eval(), (x[:1],)), [x], Recipe(16, 16)), REWRITTEN)
    assert any(".rewritten." in node.name for node in program.graph.nodes)
    torch.testing.assert_close(Values.exactly(program)((x,))[0][0], First().eval()(x).detach(), rtol=0, atol=2e-3)


class Joined(nn.Module):
    """Two inputs joined, and not handed back: no cache."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ torch.cat((a, b), 1).transpose(1, 2)


def test_what_is_joined_and_not_handed_back_is_no_cache() -> None:
    x = [seeded(i, 3, size, 8) for i, size in enumerate((4, 2))]
    program = compile_network(quantize(load(Joined(), tuple(t[:1] for t in x)), [tuple(x)]), WRITTEN)
    (store,) = (node for node in program.graph.nodes if isinstance(node.op, Store))
    assert store.op == Store(store.op.axis, 0)  # type: ignore[attr-defined]
    assert torch.equal(Values.of(program)(x)[0][0], Values.exactly(program)(x)[0][0])


def test_operands_do_not_stream_through_chips() -> None:
    from crossloom.errors import CapacityError

    machine = WRITTEN.with_(overflow="reload").with_(**{"tile.count": 1, "ima.count": 1, "array.count": 2, "adc.count": 2})
    with pytest.raises(CapacityError, match=r"stored operands must stay in their arrays and cannot be reloaded"):
        compile_network(attention()[0], machine)
