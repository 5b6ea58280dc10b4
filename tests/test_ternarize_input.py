"""What ternarize can be given: forms of data and of options, what each wrong one is told, and layers that it leaves out."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

import crossloom as xl
from crossloom.engine.registry import adapted
from crossloom.errors import DataError, InputError
from crossloom.job.data import Data
from crossloom.training.batches import batches_of, example_of
from crossloom.training.ternary_recipe import Distillation, recipe_of
from crossloom.training.training_data import settled
from tests.test_ternarize import command

QUICK = {"epochs": 1, "batch": 8}
X, Y = torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 3
BATCHES = [(X[start : start + 8], Y[start : start + 8]) for start in range(0, 32, 8)]


def tiny() -> nn.Module:
    """A convolution and a classifier, for images of 1×4×4."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


class Items(Dataset):
    """Samples of any kind, by their numbers."""

    def __init__(self, *items) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int):
        return self.items[number]


def graph_of() -> xl.Graph:
    """The tiny network as a graph."""
    return xl.load(tiny(), (X[:1],))


LISTS = [
    BATCHES,
    tuple(BATCHES),
    [list(batch) for batch in BATCHES],
    [(x.numpy(), y.numpy()) for x, y in BATCHES],
    [Data((x,), y) for x, y in BATCHES],
]


@pytest.mark.parametrize("batches", LISTS, ids=["list", "tuple", "lists", "arrays", "data"])
def test_a_list_of_batches_is_gone_through_in_its_order(batches) -> None:
    found = batches_of(settled(batches), graph_of(), 5, classes=True)
    assert (len(found), found.extent) == (4, "4 batches")
    for _ in range(2):
        epoch = list(found.epoch(torch.Generator()))
        assert torch.equal(torch.cat([batch.inputs[0] for batch in epoch]), X)
        assert torch.equal(torch.cat([batch.labels for batch in epoch]), Y)
    assert torch.equal(example_of(settled(batches))[0], X[:1])


def test_two_batches_are_no_inputs_and_labels() -> None:
    two = batches_of(settled(BATCHES[:2]), graph_of(), 8, classes=True)
    assert [len(batch) for batch in two.epoch(torch.Generator())] == [8, 8]
    assert xl.ternarize(tiny(), BATCHES[:2], **QUICK).quantized
    pair = batches_of(settled((X, Y)), graph_of(), 8, classes=True)
    assert pair.extent == "32 samples" and len(pair) == 4


def test_several_inputs_beside_labels_stay_a_pair() -> None:
    """((a, b), y): the first of the two looks like a batch, and the second does not."""
    source = ((X, Y), Y)
    assert settled(source) is source
    assert len(settled([source, source])) == 2


def test_a_dataset_is_put_into_batches_in_a_new_order_each_epoch() -> None:
    found = batches_of(settled(TensorDataset(X, Y)), graph_of(), 10, classes=True)
    assert (len(found), found.extent) == (3, "32 samples")
    torch.manual_seed(0)
    first, second = (torch.cat([batch.inputs[0] for batch in found.epoch(torch.Generator())]) for _ in range(2))
    assert first.shape == (30, 1, 4, 4) and not torch.equal(first, second)
    network = tiny()
    one, two = (xl.ternarize(network, TensorDataset(X, Y), **QUICK) for _ in range(2))
    assert torch.equal(one(X), two(X))
    pairs = Items(*((x.numpy(), int(y)) for x, y in zip(X, Y, strict=True)))
    assert torch.equal(xl.ternarize(network, pairs, **QUICK)(X), one(X))


def dataset() -> Dataset:
    """A factory, as --data names one."""
    return TensorDataset(X, Y)


def test_a_factory_is_called_once_and_its_samples_are_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("tests.test_ternarize_input.dataset", lambda: calls.append(1) or (X, Y))
    xl.ternarize(tiny(), "tests.test_ternarize_input:dataset", **QUICK)
    assert calls == [1]


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32])
def test_images_in_bytes_are_taken_as_real_numbers(kind: torch.dtype) -> None:
    whole = (255 * X).to(kind)
    network = tiny()
    by_bytes, by_reals = xl.ternarize(network, (whole, Y), **QUICK), xl.ternarize(network, (whole.to(torch.float32), Y), **QUICK)
    assert torch.equal(by_bytes(whole.to(torch.float32)), by_reals(whole.to(torch.float32)))
    assert xl.ternarize(network, TensorDataset(whole, Y), **QUICK).types["input"].dtype == "f32"


def test_whole_numbers_stay_whole_where_a_table_is_looked_up() -> None:
    words = torch.randint(0, 9, (32, 5)).to(torch.int32)
    network = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3))
    assert xl.ternarize(network, (words, Y), **QUICK).types["input"].dtype == "i64"


def test_a_share_stands_for_a_distillation() -> None:
    assert recipe_of(distil=0.3).distil == Distillation(0.3)
    assert recipe_of(distil=1).distil == Distillation(1)
    assert recipe_of(distil=0.0).distil is None
    found = xl.ternarize(tiny(), X, distil=1.0, **QUICK)
    assert found.quantized


def test_numbers_of_numpy_are_numbers() -> None:
    recipe = recipe_of(sparsity=np.float32(0.5), activations=np.int64(5), batch=np.int32(8), rate=np.float64(0.1))
    assert (recipe.activations, recipe.batch, recipe.method.sparsity) == (5, 8, 0.5)
    assert type(recipe.batch) is int


REAL = "without a loss ternarize expects classes.*loss=torch.nn.functional.mse_loss"
DATA = [
    ([], "data: no samples"),
    ((), "data: no samples"),
    ((X[:0], Y[:0]), "data: no samples"),
    ([(X[:0], Y[:0])], "data: no samples"),
    (Data((X[:0],), Y[:0]), "data: no samples"),
    (TensorDataset(X[:0], Y[:0]), "data: no samples"),
    (None, "cannot train on None; give .*Dataset"),
    (3, "cannot train on an object of type int"),
    (lambda: BATCHES, "cannot train on an object of type function"),
    ({"x": X, "y": Y}, "cannot train on an object of type dict"),
    ([{"x": X, "y": Y}] * 3, "cannot train on a list that contains an object of type dict"),
    ([*BATCHES, (X, Y[:5])], "not all 5 elements of the list are inputs and labels of the same number of samples"),
    (list(TensorDataset(X, Y)), "not all 32 elements of the list are inputs and labels"),
    (Items({"x": X[0], "y": 1}), "each batch is a dict"),
    (Items((X[0], "cat"), (X[0], "dog")), "y holds <U3, not numbers"),
    (Items((X[0], object())), "items of the dataset cannot be batched"),
    ((["a", "b"], Y), "not numbers"),
    (X[0, 0, 0, 0], "a single number"),
    ("nosuch.npz", "nosuch.npz: no such file"),
    ("nosuch", "nosuch: no such data"),
    ((X[:, :, :3], Y), r"fails on samples of shape \[1, 3, 4\] \(mat1 and mat2"),
    (TensorDataset(X[:, :, :3], Y), r"fails on samples of shape \[1, 3, 4\]"),
    ((X, Y, Y), r"fails on samples of shape \[1, 4, 4\], \[\], \[\] .*one tensor per input"),
    ([*BATCHES, (X[:8, :, :3], Y[:8])], r"needs samples of shape \[1, 4, 4\], got \[1, 3, 4\]"),
    ((X, torch.rand(32)), REAL),
    ((X, torch.rand(32, 3)), REAL),
    ((X, [0.5] * 32), REAL),
    (TensorDataset(X, torch.rand(32)), REAL),
]


@pytest.mark.parametrize(("data", "message"), DATA, ids=[f"{number}: {message[:30]}" for number, (_, message) in enumerate(DATA)])
def test_data_that_cannot_be_trained_on_are_named_in_one_line(data, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        xl.ternarize(tiny(), data, **QUICK)
    assert "\n" not in str(caught.value) and "ONNX" not in str(caught.value)


OPTIONS = [
    ({"distil": 2}, "share must be above 0 and at most 1, got 2"),
    ({"distil": "a"}, "distil must be a share from 0 to 1 or a Distillation, got 'a'"),
    ({"distil": True}, "distil must be a share"),
    ({"method": "foo"}, "method must set the number of zeros, got 'foo'"),
    ({"method": xl.Sparse}, "method must set"),
    ({"sparsity": "a"}, "sparsity must be at least 0 and below 1, got 'a'"),
    ({"sparsity": True}, "sparsity must be at least 0"),
    ({"activations": "4"}, "activations must be a whole number, got '4'"),
    ({"activations": 4.5}, "activations must be a whole number, got 4.5"),
    ({"epochs": 1.5}, "epochs must be a whole number"),
    ({"seed": None}, "seed must be a whole number"),
    ({"seed": 1 << 64}, "seed must have at most 63 bits"),
    ({"rate": "a"}, "rate must be positive, got 'a'"),
    ({"loss": 3}, "loss must be a function of scores and labels, got 3"),
    ({"loss": lambda scores: scores}, r"of shape \[8, 3\] and labels of shape \[8\] cannot be computed"),
    ({"loss": lambda scores, labels: scores}, "is not a single number"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS, ids=[message for _, message in OPTIONS])
@pytest.mark.parametrize("function", [xl.ternarize, xl.ternary_module])
def test_options_of_the_wrong_kind_are_named_in_one_line(function, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        function(tiny(), (X, Y), **(QUICK | options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", [xl.ternarize, xl.ternary_module])
def test_an_option_that_does_not_exist_is_refused(function) -> None:
    with pytest.raises(TypeError, match="nonsense"):
        function(tiny(), (X, Y), nonsense=1)


class Projecting(nn.Module):
    """A projection whose weights are a parameter of the network, as those inside nn.MultiheadAttention are of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.projection, self.last = nn.Linear(16, 8), nn.Parameter(torch.randn(8, 8)), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(nn.functional.linear(torch.relu(self.first(x.flatten(1))), self.projection)))


def projecting() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A factory, as MODULE names one."""
    torch.manual_seed(0)
    return Projecting(), (X[:1],)


@pytest.mark.parametrize("function", [xl.ternarize, xl.ternary_module])
def test_products_that_are_left_out_are_said(function) -> None:
    with pytest.warns(UserWarning, match=r"weights of linear_1 are not made ternary.*nn\.Linear") as caught:
        function(projecting()[0], (X, Y), **QUICK)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function(tiny(), (X, Y), **QUICK)


def test_the_engine_knows_that_a_network_was_trained() -> None:
    machine = xl.machine("rtm-ap")
    with pytest.warns(UserWarning, match="not made ternary"):
        trained = xl.ternarize(projecting()[0], (X, Y), **QUICK)
    _, (note,) = adapted(trained, machine)
    assert "linear_1" in note and "write a projection as nn.Linear" in note
    assert "set a sparsity" not in note and "crossloom ternarize" not in note
    plain = xl.quantize(xl.load(*projecting()), X)
    _, (note,) = adapted(plain, machine)
    assert "3 layers" in note and "crossloom ternarize" in note and "set a sparsity" in note


def test_the_command_says_what_it_does(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    here = "tests.test_ternarize_input"
    words = ["ternarize", f"{here}:projecting", "--data", f"{here}:dataset", "--epochs", "2", "--batch", "8"]
    assert command(monkeypatch, *words, "--out", str(tmp_path / "a.pt2")) == 0
    said = capsys.readouterr()
    begun, left, done = said.err.splitlines()
    assert begun == "training projecting: 2 epochs of 32 samples, 2 layers, 152 weights"
    assert left.startswith("! projecting: weights of linear_1 are not made ternary")
    assert done.startswith("trained in ") and done.endswith(" s")
    assert said.out.splitlines()[0].startswith("projecting: 216 weights, ")
    assert said.out.splitlines()[0].endswith(" of them zero")
    assert command(monkeypatch, *words, "--out", str(tmp_path / "b.pt2"), "--json") == 0
    assert ["linear_1" in note for note in json.loads(capsys.readouterr().out)["warnings"]] == [True]
