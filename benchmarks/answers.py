"""Whether two versions of Crossloom give the same answers: every machine on six networks, and every claim of every paper.

    python -m benchmarks.answers write FOLDER            # the answers of the version that is imported
    python -m benchmarks.answers compare BEFORE AFTER    # prints what differs; exit code 1 if anything does

`write` stores the program (every field of every stage, by name), the result as `crossloom run --json` prints it, a digest of the computed values, and
`crossloom reproduce --json`. `compare` follows renamed fields (`RENAMED`), leaves out versions, and compares sentences by the numbers in them: the
wording may improve, the figures may not move.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

SAMPLES = 48
"""Samples computed where a network has data."""
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "isaac-ce-pcm": ("isaac-ce", {"crossbar.cell": "pcm", "crossbar.age": "86400 s"}),
    "crossstack-reload": ("crossstack", {"crossbar.stack": "deep-net", "compile.overflow": "reload", "tile.count": 1}),
    "neural-pim-trained": ("neural-pim", {"crossbar.converter": "nnadc"}),
    "isaac-ce-reload": ("isaac-ce", {"compile.overflow": "reload", "compile.chips": 1, "tile.count": 4}),
    "isaac-ce-written": ("isaac-ce", {"dynamic.products": "written"}),
}
"""Machines beside the published ones: real cells, writing in between, trained circuits."""
RENAMED: dict[str, dict[str, str]] = {
    "Stage": {
        "ahead": "double_buffered",
        "alone": "sequential",
        "before": "tile_offset",
        "fed": "forwarded_input",
        "in_tile": "tile_shares",
        "kit": "array_type",
        "load_s": "programming_s",
        "own": "in_array_nodes",
        "parts": "chunks",
        "passed_on": "time_shared",
        "per_tile": "arrays_per_tile",
        "rewrites": "writes_per_inference",
        "sets": "buffers",
        "stays": "forwards_output",
        "turns": "slots",
        "waits": "dependencies",
    },
    "InBlocks": {"abreast": "positions_per_step", "once": "streams_input"},
    "InRows": {"used": "utilization"},
    "Tiling": {"reach": "observed_range"},
}
"""Fields of stages and placements, by class: the name before, and the name now."""
ADDED = frozenset(
    {"forwarded_input", "forwards_output", "holds", "in_arrays_s", "input_vectors", "per_step", "placement", "releases_arrays", "written"}
)
"""Fields that one of the two versions derives, or leaves out at its default."""
SENTENCES = frozenset({"warnings", "notes", "note", "statement", "why", "plan", "free_parameters", "basis"})
"""Keys whose values are compared by their numbers alone."""


def networks() -> Iterator[tuple[str, Callable[[], Any], Any, Any]]:
    """Yield a name, how to make the network, its test data, and its calibration data."""
    import crossloom as xl
    from crossloom import demo

    yield "digits", lambda: xl.load(*demo.digits_network()), demo.digits_test, demo.digits_training
    yield "digits-vit", lambda: xl.load(*demo.vit_network()), demo.vit_test, demo.vit_training
    yield "digits-ternary", lambda: xl.load(*demo.ternary_network()), demo.digits_test, demo.digits_training
    for name in ("resnet18-cifar", "mobilenet-v2", "gpt2-step"):
        yield name, lambda name=name: xl.load(f"zoo:{name}"), None, None


def write(folder: Path) -> None:
    """Write the answers of the version that is imported."""
    from crossloom.machines import published

    machines: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in published()} | VARIANTS
    for network, make, test, training in networks():
        graph = make()
        data = None if test is None else test().first(SAMPLES)
        integers = {ternary: _quantised(graph, training, ternary) for ternary in (False, True)}
        for name, (machine, fields) in machines.items():
            start = time.perf_counter()
            answer = _answer(integers[name == "rtm-ap"], machine, fields, data)
            _store(folder / f"{network}@{name}.json", answer)
            print(f"{network} on {name}: {time.perf_counter() - start:.1f} s {answer.get('error', '')}", flush=True)
    _claims(folder)


def _quantised(graph: Any, training: Any, ternary: bool) -> Any:
    import crossloom as xl
    from crossloom.job.data import random_inputs

    calibration = random_inputs(graph, 8, 0) if training is None else training().first(256)
    return xl.quantize(graph, calibration, **({"activations": 4, "sparsity": 0.8} if ternary else {}))


def _answer(graph: Any, machine: str, fields: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """Return what one network does on one machine, or the kind of error that it ends with."""
    import crossloom as xl
    from crossloom.errors import CrossloomError
    from crossloom.read.values import Values

    try:
        result = xl.run(graph, xl.machine(machine).with_(**fields), data)
    except CrossloomError as problem:
        return {"error": type(problem).__name__}
    except Exception as problem:  # what crashes is an answer as well
        return {"error": f"crash: {type(problem).__name__}: {problem}"}
    digest = None
    if data is not None:
        (output, *_), counts = Values.of(result.program)(data.inputs)
        digest = hashlib.sha256(output.numpy().tobytes()).hexdigest(), dict(sorted(counts.items()))
    program = result.program
    return {
        "chips": program.chips,
        "notes": list(program.notes),
        "stages": [_plain(stage) for stage in program.stages],
        "floor": str(hashlib.sha256(json.dumps(result.to_dict()["floor"]).encode()).hexdigest()),
        "result": result.to_dict(),
        "values": digest,
    }


def _plain(value: Any) -> Any:
    """Return a description as plain data: the fields of the groups in it stand beside its own."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found: dict[str, Any] = {"": type(value).__name__}
        for field in dataclasses.fields(value):
            inner = _plain(getattr(value, field.name))
            found |= inner if isinstance(inner, dict) and inner.get("") in GROUPS else {field.name: inner}
        return found
    if isinstance(value, Mapping):
        return {".".join(key) if isinstance(key, tuple) else str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else hashlib.sha256(repr(value).encode()).hexdigest()


GROUPS = frozenset({"ArrayMapping", "Residency", "Slots", "Timing", "Turns"})
"""Classes whose fields belong to the stage that has them."""


def _claims(folder: Path) -> None:
    from crossloom.papers import PAPERS, reproduce

    for paper in PAPERS:
        start = time.perf_counter()
        _store(folder / f"paper@{paper}.json", {"claims": [claim.to_dict() for claim in reproduce(paper)]})
        print(f"{paper}: {time.perf_counter() - start:.1f} s", flush=True)


def _store(path: Path, answer: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(answer, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def compare(before: Path, after: Path) -> int:
    """Print what differs between two folders, and return how many answers do."""
    names = sorted({path.name for folder in (before, after) for path in folder.glob("*.json")})
    differing = 0
    for name in names:
        old, new = (json.loads(path.read_text(encoding="utf-8")) if (path := folder / name).exists() else None for folder in (before, after))
        if old is None or new is None:
            print(f"{name}: only {'after' if old is None else 'before'}")
            differing += 1
            continue
        found = list(_differences(old, new, ""))
        differing += bool(found)
        for line in found[:6]:
            print(f"{name}: {line}")
        if len(found) > 6:
            print(f"{name}: ... and {len(found) - 6} more")
    print(f"{len(names)} answers, {differing} of them differ")
    return differing


def _differences(old: Any, new: Any, where: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = RENAMED.get(old.get("", ""), {})
        old, new = _flat({names.get(key, key): value for key, value in old.items()}), _flat(new)
        for key in sorted(old.keys() | new.keys()):
            if key in ("versions", "") or (key in ADDED and not (old.get(key) and new.get(key))):
                continue
            if key in SENTENCES:
                if _numbers(old.get(key)) != _numbers(new.get(key)):
                    yield f"{where}.{key}: {old.get(key)!r} became {new.get(key)!r}"
            elif key not in old or key not in new:
                yield f"{where}.{key}: {'new' if key in new else 'gone'}: {new.get(key, old.get(key))!r}"
            else:
                yield from _differences(old[key], new[key], f"{where}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (first, second) in enumerate(zip(old, new, strict=True)):
            yield from _differences(first, second, f"{where}[{place}]")
    elif old != new:
        yield f"{where}: {str(old)[:200]} became {str(new)[:200]}"


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    """Return a description with the fields of its groups beside its own."""
    groups = [name for name, value in found.items() if isinstance(value, dict) and value.get("") in GROUPS]
    for name in groups:
        found = found | found[name] | {"": found[""]}
    return {name: value for name, value in found.items() if name not in groups}


def _numbers(sentences: Any) -> list[str]:
    """Return the numbers in sentences, in order of size: where they stand is wording."""
    return sorted(re.findall(r"\d+(?:\.\d+)?", json.dumps(sentences)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", folder]:
            write(Path(folder))
        case ["compare", before, after]:
            sys.exit(bool(compare(Path(before), Path(after))))
        case _:
            sys.exit("usage: python -m benchmarks.answers write FOLDER | compare BEFORE AFTER")
