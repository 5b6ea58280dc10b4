"""The command line, as a user would type it; and a table of wrong input, each with its one line and exit code 2."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from crossloom.cli.app import main
from crossloom.errors import DataError, ModelError
from crossloom.job.data import Data, load_data
from crossloom.job.source import load

RUN_KEYS = {
    "model", "machine", "seed", "accuracy", "latency_s", "throughput_per_s", "energy_j", "power_w", "area_mm2", "utilization", "layers", "breakdown",
    "actions", "plan", "warnings",
}  # fmt: skip


class Small(nn.Module):
    """Two layers for images of 1×8×8."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(144, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.conv(x)).flatten(1))


def small():
    """A factory, as MODEL names one."""
    torch.manual_seed(0)
    return Small(), (torch.zeros(1, 1, 8, 8),)


def not_a_module():
    """A factory that returns the wrong thing."""
    return "network"


class Sorting(nn.Module):
    """Uses an operator without a counterpart."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sort(x, dim=1)[0]


def sorting():
    """A factory of a network that cannot be imported."""
    return Sorting(), (torch.zeros(1, 10),)


class Branching(nn.Module):
    """Decides by its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def branching():
    """A factory of a network with control flow."""
    return Branching(), (torch.zeros(1, 10),)


class Two(nn.Module):
    """Takes two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 3), nn.Linear(4, 3)

    def forward(self, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return self.a(u) + self.b(v)


def two():
    """A factory of a network with two inputs."""
    return Two(), (torch.zeros(2, 6), torch.zeros(2, 4))


class Embedding(nn.Module):
    """Chooses rows of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.fc = nn.Embedding(10, 6), nn.Linear(6, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc(self.table(tokens).mean(1))


def embedding():
    """A factory of a network for whole numbers."""
    return Embedding(), (torch.zeros(1, 2, dtype=torch.int64),)


def raising():
    """A factory that fails."""
    raise RuntimeError("no weights here")


NUMBER = 3


def samples():
    """Data, as --data names them."""
    return np.zeros((8, 1, 8, 8), np.float32), np.arange(8)


def crossloom(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a command."""
    before = sys.argv
    sys.argv = ["crossloom", *words]
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
    out = capsys.readouterr()
    return code, out.out, out.err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    """Return the JSON document of a command; standard output holds nothing else."""
    code, out, err = crossloom(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


MODEL = "tests.test_cli:small"


@pytest.fixture
def npz(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    path = tmp_path / "test.npz"
    np.savez(path, x=rng.normal(size=(20, 1, 8, 8)).astype(np.float32), y=rng.integers(0, 10, 20))
    return str(path)


def test_run_prints_the_documented_document(capsys, npz: str) -> None:
    found = document(capsys, "run", MODEL, "--on", "isaac-ce", "--data", npz)
    assert set(found) >= RUN_KEYS
    assert set(found["accuracy"]) == {"float", "quantized", "machine", "samples", "perplexity"}
    assert found["accuracy"]["machine"] == found["accuracy"]["quantized"]
    assert found["accuracy"]["samples"] == 20
    assert all(set(row) >= {"name", "op", "engine", "latency_s", "energy_j", "arrays"} for row in found["layers"])
    assert set(found["utilization"]) == {"spatial", "temporal"}
    assert sum(found["breakdown"]["energy_j"].values()) == pytest.approx(found["energy_j"])
    assert sum(found["breakdown"]["area_mm2"].values()) == pytest.approx(found["area_mm2"])


def test_run_without_data_has_no_accuracy_and_says_why(capsys) -> None:
    found = document(capsys, "run", "zoo:digits", "--on", "isaac-ce", "--set", "adc.bits=7", "--set", "crossbar.flip=false")
    assert found["accuracy"] is None
    assert found["overrides"] == {"chip.tile.ima.adc.bits": 7, "crossbar.flip": False}
    assert any("random inputs" in warning for warning in found["warnings"])


@pytest.mark.parametrize("calibrator", ["minmax", "percentile", "mse"])
def test_quantisation_by_option(capsys, npz: str, calibrator: str) -> None:
    found = document(capsys, "run", MODEL, "--on", "isaac-ce", "--data", npz, "--scheme", "affine", "--calibrator", calibrator, "--weights", "6")
    assert found["accuracy"]["machine"] == found["accuracy"]["quantized"]


def test_the_same_seed_gives_the_same_document_whatever_the_batch(capsys, npz: str) -> None:
    one, two = (document(capsys, "run", MODEL, "--on", "isaac-ce", "--data", npz, "--batch", size) for size in ("3", "20"))
    assert one == two


def test_a_run_folder_is_complete(capsys, npz: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, out, _ = crossloom(capsys, "run", MODEL, "--on", "isaac-ce", "--data", npz, "--out", str(folder))
    assert code == 0
    assert "report.html" in out
    assert {"result.json", "machine.yaml", "program.txt", "report.html", "layers.parquet", "trace.json"} <= {p.name for p in folder.iterdir()}
    again = document(capsys, "run", MODEL, "--on", str(folder / "machine.yaml"), "--data", npz)
    assert again["energy_j"] == json.loads((folder / "result.json").read_text())["energy_j"]


def test_compare_uses_one_quantised_network(capsys, npz: str) -> None:
    results = document(capsys, "compare", MODEL, "--on", "isaac-ce,isaac-256,isaac-512", "--data", npz)["results"]
    assert [r["machine"] for r in results] == ["isaac-ce", "isaac-256", "isaac-512"]
    assert len({r["accuracy"]["machine"] for r in results}) == 1
    assert len({r["accuracy"]["float"] for r in results}) == 1


def test_check(capsys) -> None:
    found = document(capsys, "check", MODEL)
    assert found["supported"]
    assert found["unsupported"] == []
    assert found["macs"] == 36 * 4 * 9 + 144 * 10
    assert found["parameters"] == 40 + 1450
    assert found["engines"]["crossbar"] == 2


def test_check_names_what_is_not_supported(capsys) -> None:
    found = document(capsys, "check", "tests.test_cli:sorting")
    assert not found["supported"]
    assert "sort" in found["unsupported"][0]["op"]
    assert "test_cli.py" in found["unsupported"][0]["origin"]
    assert found["unsupported"][0]["reason"]


def test_machine_commands(capsys) -> None:
    listed = document(capsys, "machine", "list")["machines"]
    assert "isaac-ce" in [m["name"] for m in listed]
    shown = document(capsys, "machine", "show", "isaac-ce")
    assert shown["totals"]["area_mm2"] == pytest.approx(sum(r["area_mm2"] for r in shown["rows"] if not r["extension"]))
    assert all(set(r) >= {"unit", "component", "count", "area_mm2", "power_w", "source", "mark"} for r in shown["rows"])
    explained = document(capsys, "machine", "explain", "isaac-ce", "adc")["fields"]
    assert all(".adc." in row["field"] for row in explained)


def test_reproduce_lists_misses_first(capsys) -> None:
    claims = document(capsys, "reproduce", "isaac")["claims"]
    verdicts = [claim["verdict"] for claim in claims]
    assert verdicts == sorted(verdicts, key=["miss", "near", "match", "unverifiable"].index)
    keys = {"id", "paper", "statement", "published", "computed", "ratio", "tolerance", "verdict", "basis", "free_parameters", "note"}
    assert all(set(claim) >= keys for claim in claims)
    assert all(claim["note"] for claim in claims if claim["verdict"] == "miss")


def test_cite(capsys) -> None:
    code, out, _ = crossloom(capsys, "cite", "isaac-ce")
    assert code == 0
    assert out.startswith("@inproceedings{shafiee2016")


@pytest.mark.parametrize(
    "words",
    [
        ("machine", "list"),
        ("machine", "show", "isaac-ce"),
        ("machine", "explain", "isaac-ce", "adc"),
        ("check", MODEL),
        ("run", "zoo:digits", "--on", "isaac-ce", "--explain"),
        ("compare", "zoo:digits", "--on", "isaac-ce,isaac-256"),
        ("cite", "isaac-ce"),
        ("--version",),
        ("--help",),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_commands_print_something_a_person_can_read(capsys, words: tuple[str, ...]) -> None:
    code, out, _ = crossloom(capsys, *words)
    assert code == 0
    assert len(out) > 10
    assert "Traceback" not in out


ESCAPES = "\x1b]0;pwned\x07\x1b[31mred[bold]\nSecond line\u202e"


def test_names_of_others_cannot_write_to_the_terminal(capsys, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    made = onnx.helper
    ports = [[made.make_tensor_value_info(name, 1, ["N", 4])] for name in (f"x{ESCAPES}", "y")]
    for kind, code, stream in (("Relu", 0, 0), ("NonZero", 2, 1), ("RandomNormalLike", 0, 0)):
        node = made.make_node(kind, [f"x{ESCAPES}"], ["y"], name=f"place{ESCAPES}")
        onnx.save(made.make_model(made.make_graph([node], f"net{ESCAPES}", *ports)), tmp_path / "net.onnx")
        found = crossloom(capsys, "check", str(tmp_path / "net.onnx"))
        assert found[0] == code, found
        assert "\x1b" not in found[1] + found[2] and "\u202e" not in found[1] + found[2]
        assert kind in found[1 + stream] and not found[2 - stream]
    assert "[31mred[bold] Second line" in " ".join(found[1].split())


def test_an_error_is_one_line_whatever_it_quotes(capsys) -> None:
    code, out, err = crossloom(capsys, "check", f"nowhere{ESCAPES}.onnx")
    assert code == 2 and not out and err.count("\n") == 1
    assert err.strip().isprintable() and "[31mred[bold] Second line" in err
    assert str(ModelError(ESCAPES)).isprintable()


def enormous_image() -> bytes:
    """The head of a PNG of 30000 x 30000 points."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 30000, 30000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def bad_files(folder: Path) -> dict[str, str]:
    """Write one of each kind of broken file and return their paths."""
    made = {}

    def path(name: str) -> Path:
        made[name] = str(folder / name)
        return folder / name

    path("text.onnx").write_text("this is no model")
    path("empty.onnx").write_bytes(b"")
    open_model(path("open.onnx"))
    path("text.pt2").write_text("this is no program")
    path("weights.pth").write_bytes(b"x")
    path("bad.yaml").write_text("machine: [")
    path("unit.yaml").write_text("machine: a\nextends: isaac-ce\nset:\n  adc.area: 3 mW\n")
    path("field.yaml").write_text("machine: a\nextends: isaac-ce\ncolour: red\n")
    path("list.npz").write_text("no archive")
    np.savez(path("nox.npz"), y=np.arange(3))
    np.savez(path("nan.npz"), x=np.full((2, 1, 8, 8), np.nan, np.float32), y=np.arange(2))
    np.savez(path("shape.npz"), x=np.zeros((2, 1, 7, 8), np.float32))
    np.savez(path("count.npz"), x=np.zeros((2, 1, 8, 8), np.float32), y=np.arange(3))
    np.savez(path("labels.npz"), x=np.zeros((2, 1, 8, 8), np.float32), y=np.array([3, 11]))
    np.savez(path("floats.npz"), x=np.zeros((2, 1, 8, 8), np.float32), y=np.array([0.5, 1.5]))
    np.savez(path("none.npz"), x=np.zeros((0, 1, 8, 8), np.float32))
    np.savez(path("words.npz"), x=np.array(["a", "b"]))
    np.savez(path("scalar.npz"), x=np.float32(3))
    path("cut.npz").write_bytes(Path(made["count.npz"]).read_bytes()[:200])
    np.savez(path("objects.npz"), x=np.array([{}, {}], dtype=object))
    np.savez(path("dates.npz"), x=np.full((2, 1, 8, 8), "2001-01-01", dtype="datetime64[D]"))
    np.savez(path("complex.npz"), x=np.zeros((2, 1, 8, 8), np.complex64))
    np.savez(path("onehot.npz"), x=np.zeros((2, 1, 8, 8), np.float32), y=np.eye(10, dtype=np.int64)[:2])
    np.savez(path("two.npz"), u=np.full((2, 6), "a"), v=np.zeros((2, 4), np.float32))
    np.savez(path("token.npz"), x=np.array([[0, 10]]))
    np.savez(path("negative.npz"), x=np.array([[0, -1]]))
    np.savez(path("real.npz"), x=np.array([[0.0, 1.5]], np.float32))
    with zipfile.ZipFile(path("bytes.npz"), "w") as archive:
        archive.writestr("x", b"hello")
    path("nothing").mkdir()
    (path("photos") / "cat").mkdir(parents=True)
    (folder / "photos" / "cat" / "a.png").write_text("no image")
    (path("hidden") / ".cat").mkdir(parents=True)
    (folder / "hidden" / ".cat" / "a.png").write_text("no image")
    (path("enormous") / "cat").mkdir(parents=True)
    (folder / "enormous" / "cat" / "a.png").write_bytes(enormous_image())
    return made


RUN = ("run", MODEL, "--on", "isaac-ce")
EMBED = ("run", "tests.test_cli:embedding", "--on", "isaac-ce")
BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "no such model": (("run", "nowhere.onnx", "--on", "isaac-ce"), "nowhere.onnx"),
    "no such pt2": (("run", "nowhere.pt2", "--on", "isaac-ce"), "no such file"),
    "text as onnx": (("run", "{text.onnx}", "--on", "isaac-ce"), "text.onnx"),
    "empty onnx": (("check", "{empty.onnx}"), "empty.onnx"),
    "text as pt2": (("run", "{text.pt2}", "--on", "isaac-ce"), "torch.export"),
    "a state dict": (("run", "{weights.pth}", "--on", "isaac-ce"), "a state_dict file holds no network"),
    "no such zoo network": (("run", "zoo:resnet", "--on", "isaac-ce"), "choose one of"),
    "no such module": (("run", "nowhere.models:net", "--on", "isaac-ce"), "cannot import"),
    "no such factory": (("run", "tests.test_cli:nothing", "--on", "isaac-ce"), "has no nothing"),
    "a factory of something else": (("run", "tests.test_cli:not_a_module", "--on", "isaac-ce"), "expected a torch module"),
    "a factory that raises": (("run", "tests.test_cli:raising", "--on", "isaac-ce"), "it raised RuntimeError (no weights here)"),
    "no factory but a number": (("run", "tests.test_cli:NUMBER", "--on", "isaac-ce"), "not a callable"),
    "a factory of nowhere": (("run", ":f", "--on", "isaac-ce"), "cannot import"),
    "an unsupported operator": (("run", "tests.test_cli:sorting", "--on", "isaac-ce"), "no counterpart"),
    "control flow": (("run", "tests.test_cli:branching", "--on", "isaac-ce"), "branching"),
    "no such machine": (("run", MODEL, "--on", "isaak"), "choose one of"),
    "no such machine file": (("run", MODEL, "--on", "./mine.yaml"), "no such machine file"),
    "machine file not YAML": (("machine", "show", "{bad.yaml}"), "not valid YAML"),
    "machine file with a wrong unit": (("machine", "show", "{unit.yaml}"), "expected an area"),
    "machine file with an unknown field": (("machine", "show", "{field.yaml}"), "line 3"),
    "a machine of costs alone": (("run", MODEL, "--on", "dadiannao"), "cost-only description"),
    "an override without value": ((*RUN, "--set", "adc.bits"), "field=value"),
    "an override of nothing": ((*RUN, "--set", "adc.bitz=3"), "no field"),
    "an ambiguous override": ((*RUN, "--set", "bits=3"), "is ambiguous"),
    "an override with a wrong unit": ((*RUN, "--set", "cycle=100 nm"), "expected s"),
    "settings that contradict": ((*RUN, "--set", "encoding=differential"), "flip"),
    "a network that does not fit": (
        ("run", "zoo:digits", "--on", "isaac-ce", "--set", "tile.count=1", "--set", "ima.count=1", "--set", "overflow=refuse"),
        "needs",
    ),
    "no such data": ((*RUN, "--data", "nowhere.npz"), "no such file"),
    "data of no known kind": ((*RUN, "--data", "nowhere.csv"), "no such data"),
    "data not an archive": ((*RUN, "--data", "{list.npz}"), "not a readable .npz"),
    "data without x": ((*RUN, "--data", "{nox.npz}"), "no 'x'"),
    "data with NaN": ((*RUN, "--data", "{nan.npz}"), "NaN"),
    "data of another shape": ((*RUN, "--data", "{shape.npz}"), "needs samples of shape"),
    "dates as samples": ((*RUN, "--data", "{dates.npz}"), "datetime64[D], not numbers"),
    "complex samples": ((*RUN, "--data", "{complex.npz}"), "complex64, not numbers"),
    "bytes as samples": ((*RUN, "--data", "{bytes.npz}"), "not numbers"),
    "one label for each class": ((*RUN, "--data", "{onehot.npz}"), "argmax(1)"),
    "words for one of two inputs": (("run", "tests.test_cli:two", "--on", "isaac-ce", "--data", "{two.npz}"), "u holds <U1, not numbers"),
    "a token beyond the table": ((*EMBED, "--data", "{token.npz}"), "ranges from 0 to 10 and indexes 10 rows"),
    "a token below the table": ((*EMBED, "--data", "{negative.npz}"), "ranges from -1 to 0"),
    "fractions as tokens": ((*EMBED, "--data", "{real.npz}"), "needs whole numbers"),
    "an enormous image": ((*RUN, "--data", "{enormous}"), "not a readable image"),
    "hidden folders": ((*RUN, "--data", "{hidden}"), "no images"),
    "a shape without name": (("check", "{text.onnx}", "--shape", "1,3"), "write it as NAME=1,3,224,224"),
    "a shape of words": (("check", "{text.onnx}", "--shape", "x=1,many"), "x=1,many"),
    "a shape given twice": (("check", "{text.onnx}", "--shape", "x=1", "--shape", "x=2"), "given twice"),
    "a shape for a factory": ((*RUN, "--shape", "x=1,1,8,8"), "shapes apply only to .onnx files"),
    "a shape of nothing": (("compare", "{open.onnx}", "--on", "isaac-ce", "--shape", "z=1,4"), "it has no input z"),
    "a shape that contradicts": (("run", "{open.onnx}", "--on", "isaac-ce", "--shape", "x=1,4,5"), "dimension 2 of input x is 4"),
    "a shape that is left open": (("check", "{open.onnx}"), "or --shape x=1,1,4"),
    "more labels than samples": ((*RUN, "--data", "{count.npz}"), "3 labels"),
    "labels out of range": ((*RUN, "--data", "{labels.npz}"), "10 classes"),
    "labels that are fractions": ((*RUN, "--data", "{floats.npz}"), "whole number"),
    "no samples": ((*RUN, "--data", "{none.npz}"), "no samples"),
    "words as samples": ((*RUN, "--data", "{words.npz}"), "not numbers"),
    "objects in data": ((*RUN, "--data", "{objects.npz}"), "or it holds objects"),
    "a single number": ((*RUN, "--data", "{scalar.npz}"), "single number"),
    "an archive cut short": ((*RUN, "--data", "{cut.npz}"), "not a readable"),
    "no arrays": ((*RUN, "--set", "array.count=0"), "at least one"),
    "no converters": ((*RUN, "--set", "adc.count=0"), "at least one"),
    "a cycle of nothing": ((*RUN, "--set", "cycle=0"), "takes no time"),
    "a machine without sense": ((*RUN, "--set", "adc.bits=1e99"), "at most 64"),
    "a part of an array": ((*RUN, "--set", "array.count=0.3"), "whole number"),
    "an array beyond all bounds": ((*RUN, "--set", "array.rows=70000"), "at most 65536"),
    "a part that cannot": ((*RUN, "--set", "adc.use=isaac.dac"), "is asked to convert and can do drive"),
    "a list for a name": ((*RUN, "--set", "encoding=[1]"), "encoding: Input should be"),
    "a number for a truth value": ((*RUN, "--set", "flip=1"), "flip: Input should be"),
    "a time without end": ((*RUN, "--set", "fetch_cycles=1e24"), "fetch_cycles: Input should be"),
    "a device of another kind": ((*RUN, "--device", "meta"), "use cpu or cuda"),
    "a seed beyond all bounds": ((*RUN, "--seed", "18446744073709551616"), "--seed"),
    "an empty folder": ((*RUN, "--data", "{nothing}"), "no images"),
    "a broken image": ((*RUN, "--data", "{photos}"), "not a readable image"),
    "a folder that exists": ((*RUN, "--out", "{nothing}"), "exists"),
    "a folder in nowhere": ((*RUN, "--out", "nowhere/at/all"), "make it first"),
    "too many bits": ((*RUN, "--weights", "17"), "2 to 16"),
    "no such calibrator": ((*RUN, "--calibrator", "mean"), "choose one of minmax"),
    "no such scheme": ((*RUN, "--scheme", "both"), "symmetric or affine"),
    "no such device": ((*RUN, "--device", "abacus"), "no such device"),
    "no such option": ((*RUN, "--colour", "red"), "--colour"),
    "no such command": (("simulate",), "simulate"),
    "a missing argument": (("run",), "MODEL"),
    "a batch of nothing": ((*RUN, "--batch", "0"), "batch"),
    "no such paper": (("reproduce", "isaak"), "choose one of"),
    "no such field": (("machine", "explain", "isaac-ce", "laser"), "no field laser"),
    "no machines to compare": (("compare", MODEL, "--on", ","), "at least one machine"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_input_gets_one_line_and_exit_code_2(name: str, capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = bad_files(tmp_path)
    root = Path(__file__).parents[1]
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.chdir(tmp_path)
    words, expected = BAD[name]
    filled = [files[word[1:-1]] if word.startswith("{") else word for word in words]
    before = sorted(p.name for p in tmp_path.iterdir())
    code, out, err = crossloom(capsys, *filled)
    lines = [line for line in err.splitlines() if line and not line.startswith("warning:")]
    assert code == 2, (code, out, err)
    assert out == ""
    assert len(lines) == 1, err
    assert expected in lines[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "labels", [np.arange(3)[:, None], [0, 1, 2], torch.arange(3), torch.arange(3)[:, None], np.arange(3, dtype=np.uint8)], ids=str
)
def test_labels_of_any_kind_are_one_number_for_each_sample(labels) -> None:
    graph = load(*small())
    data = load_data((np.zeros((3, 1, 8, 8), np.float32), labels), graph)
    assert data.labels is not None and data.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "labels", [np.eye(3), np.eye(3, dtype=int), np.arange(3) + 0.5, np.arange(3.0), ["0", "1", "2"], [[0], [1, 2], [3]]], ids=str
)
def test_labels_that_are_not_one_number_for_each_sample_are_refused(labels) -> None:
    """Compared with one choice for each sample they would spread, and give accuracies of any size."""
    graph = load(*small())
    with pytest.raises(DataError, match=r"data: y "):
        load_data((np.zeros((3, 1, 8, 8), np.float32), labels), graph)
    with pytest.raises(DataError):
        load_data(Data((torch.zeros(3, 1, 8, 8),), labels), graph)


def test_folders_without_images_are_no_classes(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for folder, files in {"ant": ["b.txt"], "cat": ["a.png", "._a.png"], ".git": ["a.png"], "dog": ["a.PNG", "b.png"]}.items():
        (tmp_path / folder).mkdir()
        for name in files:
            image.new("L", (8, 8)).save(tmp_path / folder / name, format="PNG")
    data = load_data(str(tmp_path), load(*small()))
    assert data.labels is not None and data.labels.tolist() == [0, 1, 1]


def test_images_of_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "a").mkdir()
    image.fromarray(np.full((8, 8), 32768, dtype=np.uint16)).save(tmp_path / "a" / "grey.png")
    (x,) = load_data(str(tmp_path), load(*small())).inputs
    assert float(x.mean()) == pytest.approx(127 / 255)


def open_model(path: Path) -> str:
    """Write a network whose second dimension is open beside its batch."""
    onnx = pytest.importorskip("onnx")
    path.write_bytes(
        onnx.parser.parse_model('<ir_version: 9, opset_import: ["" : 21]> m (float[N,L,4] x) => (float[N,L,4] y) { y = Relu(x) }').SerializeToString()
    )
    return str(path)


@pytest.mark.parametrize("shape", ["x=_,7,4", "x=,7,", "x = _, 7 ,_"])
def test_shapes_on_the_command_line(capsys, tmp_path: Path, shape: str) -> None:
    path = open_model(tmp_path / "open.onnx")
    assert document(capsys, "check", path, "--shape", shape)["inputs"] == [{"name": "x", "type": "f32[N, 7, 4]"}]
    for command in ("run", "compare"):
        assert document(capsys, command, path, "--on", "isaac-ce", "--shape", shape)


@pytest.mark.parametrize("kind", ["bool", ">f8", "int64", "uint16", "longdouble"])
def test_samples_of_any_width_and_byte_order(capsys, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "any.npz"
    np.savez(path, x=np.ones((3, 1, 8, 8), dtype=kind), y=np.arange(3))
    assert document(capsys, "run", MODEL, "--on", "isaac-ce", "--data", str(path))["accuracy"]["samples"] == 3


def test_an_interrupt_is_no_success(tmp_path: Path) -> None:
    """Interrupted while it trains; a shell that starts tests in the background leaves interrupts ignored, so that the handler is put back."""
    begin = "import os, signal, sys, threading; signal.signal(signal.SIGINT, signal.default_int_handler); from crossloom import demo; from crossloom.cli.app import main; sys.argv = ['crossloom', 'demo']; "
    code = begin + "threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start(); main()"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.returncode == 130
    assert list(tmp_path.glob("runs/*")) == []


def test_installed_command_works_as_typed(tmp_path: Path) -> None:
    """In a process of its own, from another directory."""
    found = subprocess.run([sys.executable, "-m", "crossloom", "machine", "list", "--json"], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert len(json.loads(found.stdout)["machines"]) >= 7
    assert found.stderr == ""
    wrong = subprocess.run(
        [sys.executable, "-m", "crossloom", "run", "zoo:digits", "--on", "isaak"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 1


def test_a_peripheral_is_trained_measured_and_written(tmp_path, capsys) -> None:
    """Short: what it becomes is tested elsewhere. The file runs on a machine, the picture is a picture, the command makes the same again."""
    out, picture = tmp_path / "adder.json", tmp_path / "adder.png"
    words = ("train-peripheral", "nns-a", "--steps", "20", "--draws", "20", "--hidden", "4", "--out", str(out))
    found = document(capsys, *words, "--picture", str(picture))
    assert found["kind"] == "nns-a" and found["command"] == "crossloom train-peripheral nns-a --digit-bits 4 --hidden 4 --steps 20 --seed 0"
    assert 0 < found["measured"]["errors over the range of inputs"]["mean squared error as designed (V2)"] < 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = tmp_path / "again.json"
    document(capsys, *words[:-1], str(again))
    assert again.read_text() == out.read_text()
    run = document(capsys, "run", "zoo:digits", "--on", "neural-pim", "--set", f"adder={out}", "--set", "converter=ideal")
    assert run["latency_s"] > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nns-a", "--digit-bits", "3", "--out", "new.json"), "must be 1, 2 or 4"),
        (("nns-a", "--out", "old.json"), "exists; choose another name"),
        (("nns-a", "--out", "new.json", "--picture", "new.gif"), "must end in .png"),
        (("nns-b", "--out", "new.json"), "nns-b"),
        (("nns-a", "--out", "new.json", "--seed", "99999999999999999999999"), "--seed"),
    ],
)
def test_a_peripheral_that_cannot_be_trained(words: tuple[str, ...], says: str, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.json").write_text("old")
    code, out, err = crossloom(capsys, "train-peripheral", *words)
    assert (code, out) == (2, "")
    assert says in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.json"] and (tmp_path / "old.json").read_text() == "old"
