"""Exact linear map from word-line voltages to bit-line currents of a stack with ohmic cells, by block elimination.

The elimination goes downwards, row by row. Let w be the voltages of the bit-line nodes of a row (columns of all bit planes, n in total), and d the
current that flows down out of them towards the sense amplifiers. Everything above is a Norton equivalent, d = c − Q·w, with an n × n
conductance matrix Q and one column of c for each input voltage met so far.

* **A row** adds S to Q and its own column to c. Word lines are eliminated exactly: with A = (tridiagonal wire + its cells' conductances),
  a word line held at v gives its cells the currents G·(u − w), u = A⁻¹·(lead·v + G·w); hence S = G − G·A⁻¹·G and the column
  G·A⁻¹·lead. In a plane shared by two layers of cells, G is two diagonal blocks and S couples the bit planes on both sides.
* **A segment** of r ohms between two rows: with E = r·Q and N = E·(1 + E)⁻¹, (Q, c) becomes (N/r, c − N·c). E is symmetric, positive and small
  (wires conduct far better than cells). N is found by recursive halving, from small quantities only: in (1 + E)⁻¹ they would be lost beside the 1.
* **The foot**: through r = segment + sense amplifier to ground, the output is d = c − N·c.

A⁻¹ needs no factorisation. Seen from node j, the line to the left is a conductance s_j and to the right t_j, with s_j = g_j + s_{j−1} ∥ 1/r and
similarly for t. Then (A⁻¹)_jj = 1/(s_j + t_{j+1} ∥ 1/r), and from there to the right each node has ρ = 1/(1 + r·t) of its neighbour's voltage.
All terms summed are positive, so nothing cancels at any ratio of cells to wires.

Cost: per row, N (about 3n³ flops) and its product with c (2n² for each row above), n = columns · bit planes: about 4·rows·n³ flops for
a square tile, nearly all in matrix products. A planar crossbar with more columns than rows is turned first.
Memory: a few n². The code is plain torch, so leading dimensions are batches of tiles, gradients flow to the conductances, and tensors may be on
a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.circuit.stack import Stack, Wires, bit_plane, word_plane

LEAF = 64
"""Largest order inverted as a whole. Measured on one core: an inverse of order 128 takes 237 µs as a whole, 173 µs in halves of 64."""
FAINT = 1e-250
"""Products of voltage ratios below this are near underflow; logarithms are used instead."""


def transfer(stack: Stack) -> Tensor:
    """Return T with T[..., b, j, w, i] the current (A per V) out of column j of bit plane b for the voltage on row i of word plane w.

    Shape (..., bit planes, columns, word planes, rows), float64, differentiable with respect to the conductances. For each input, all other
    word lines are held at 0 V by their drivers.
    """
    wide = stack.layers == 1 and stack.columns > stack.rows
    flat = _swept(stack.turned()).mT.flip(-1, -2) if wide else _swept(stack)
    shape = flat.shape[:-2]
    return flat.reshape(*shape, stack.bit_planes, stack.columns, stack.rows, stack.word_planes).transpose(-1, -2)


def _swept(stack: Stack) -> Tensor:
    """Return T as (..., outputs, inputs), with inputs row by row."""
    cells = stack.cells_s
    lines = _lines(stack, cells)
    size = stack.bit_planes * stack.columns
    q = cells.new_zeros(*cells.shape[:-3], size, size)
    view = _View(q, cells.new_zeros(*cells.shape[:-3], size, 0), None, None)
    if stack.wires.bit_ends == "both" and stack.wires.foot_ohm:
        view = _with_top(view, stack.wires.foot_ohm)
    for row in range(stack.rows):
        if row and stack.wires.bit_ohm:
            view = _through(view, stack.wires.bit_ohm)
        view = _joined(view, lines, row, stack, cells[..., row, :])
    if not stack.wires.foot_ohm:
        return view.currents
    view = _through(view, stack.wires.foot_ohm)
    return view.currents if view.top_inputs is None else view.currents + view.top_inputs


@dataclass(frozen=True, slots=True)
class _View:
    """Equivalent of everything above a row, seen from its bit-line nodes: d = currents − matrix · w.

    If the tops of the bit lines are sensed too, the current there is top_nodes · w + top_inputs.
    """

    matrix: Tensor
    currents: Tensor
    top_nodes: Tensor | None
    top_inputs: Tensor | None


def _with_top(view: _View, ohm: float) -> _View:
    ground = torch.eye(view.matrix.shape[-1], dtype=view.matrix.dtype, device=view.matrix.device) / ohm + torch.zeros_like(view.matrix)
    return _View(ground.clone(), view.currents, ground, view.currents)


def _through(view: _View, ohm: float) -> _View:
    """Return the view through a resistance in each bit line."""
    damping = _damping(view.matrix * ohm)
    currents = view.currents - damping @ view.currents
    if view.top_nodes is None or view.top_inputs is None:
        return _View(damping / ohm, currents, None, None)
    nodes = view.top_nodes - view.top_nodes @ damping
    return _View(damping / ohm, currents, nodes, view.top_inputs + ohm * (view.top_nodes @ currents))


def _damping(x: Tensor) -> Tensor:
    """Return x·(1 + x)⁻¹ for a symmetric positive semidefinite matrix, with full relative accuracy even for small entries.

    With blocks a, b, d of x, y = (1 + a)⁻¹·b and s = d − bᵀ·y, the diagonal blocks of the result are D(a) − y·(1 − D(s))·yᵀ and D(s), and the
    off-diagonal block is y·(1 − D(s)).
    """
    size = x.shape[-1]
    if size <= LEAF:
        whole = x.clone()
        whole.diagonal(dim1=-2, dim2=-1).add_(1.0)
        return x @ torch.cholesky_inverse(torch.linalg.cholesky(whole))
    half = size // 2
    beside = x[..., :half, half:]
    first = _damping(x[..., :half, :half])
    y = beside - first @ beside
    second = _damping(x[..., half:, half:] - beside.mT @ y)
    across = y - y @ second
    above = torch.cat((first - across @ y.mT, across), -1)
    return torch.cat((above, torch.cat((across.mT, second), -1)), -2)


@dataclass(frozen=True, slots=True)
class _Lines:
    """Eliminated word lines; all fields are (..., word planes, rows, columns).

    The diagonal of A⁻¹, the products of voltage ratios from the left end, their logarithms if the products underflow, and A⁻¹·lead, the
    voltages of a line driven at 1 V with the far ends of its cells at 0 V.
    """

    own: Tensor
    reach: Tensor
    reach_log: Tensor | None
    driven: Tensor


def _lines(stack: Stack, cells: Tensor) -> _Lines:
    """Return the elimination of the word lines."""
    wires, load = stack.wires, _load(stack, cells)
    both = wires.word_ends == "both"
    if not wires.lead_ohm:
        return _Lines(torch.zeros_like(load), torch.ones_like(load), None, torch.ones_like(load))
    lead = 1 / wires.lead_ohm
    if not wires.word_ohm:
        drivers = 2 * lead if both else lead
        own = (1 / (load.sum(-1, keepdim=True) + drivers)).expand_as(load)
        return _Lines(own, torch.ones_like(load), None, own * drivers)
    left, right = _seen(load, wires, True), _seen(load, wires, both, backwards=True)
    last = torch.full_like(load[..., :1], lead if both else 0.0)
    own = 1 / (left + torch.cat((_behind(right[..., 1:], wires.word_ohm), last), -1))
    ratio = 1 / (1 + wires.word_ohm * right[..., 1:])
    reach = torch.cat((torch.ones_like(load[..., :1]), torch.cumprod(ratio, -1)), -1)
    driven = lead * own[..., :1] * reach
    if both:
        back = torch.cat((torch.flip(torch.cumprod(torch.flip(ratio, (-1,)), -1), (-1,)), torch.ones_like(last)), -1)
        driven = driven + lead * own * back
    if bool((reach[..., -1] > FAINT).all()):
        return _Lines(own, reach, None, driven)
    logs = torch.cat((torch.zeros_like(load[..., :1]), torch.cumsum(torch.log(ratio), -1)), -1)
    return _Lines(own, reach, logs, driven)


def _load(stack: Stack, cells: Tensor) -> Tensor:
    """Return the conductance of the cells at each word-line node, (..., word planes, rows, columns)."""
    planes: list[list[Tensor]] = [[] for _ in range(stack.word_planes)]
    for layer in range(stack.layers):
        planes[word_plane(layer)].append(cells[..., layer, :, :])
    return torch.stack([torch.stack(plane).sum(0) for plane in planes], -3)


def _behind(conductance: Tensor, ohm: float) -> Tensor:
    """Return conductances to ground, seen through a resistance."""
    return conductance / (1 + conductance * ohm)


def _seen(load: Tensor, wires: Wires, driven: bool, backwards: bool = False) -> Tensor:
    """Return, for each node of each word line, the conductance to its drivers and through its cells on one side, including the node's own."""
    count = load.shape[-1]
    seen: list[Tensor] = [load[..., 0]] * count
    order = range(count - 1, -1, -1) if backwards else range(count)
    for place, node in enumerate(order):
        if place:
            rest = _behind(seen[node + 1 if backwards else node - 1], wires.word_ohm)
            seen[node] = load[..., node] + rest
        else:
            seen[node] = load[..., node] + (1 / wires.lead_ohm if driven else 0.0)
    return torch.stack(seen, -1)


def _joined(view: _View, lines: _Lines, row: int, stack: Stack, cells: Tensor) -> _View:
    """Return the view with a row's cells and word lines added. `cells` are the cells of the row, (..., layers, columns)."""
    columns, matrix = stack.columns, view.matrix
    fed = cells.new_zeros(*cells.shape[:-2], matrix.shape[-1], stack.word_planes)
    place = [slice(bit_plane(layer) * columns, (bit_plane(layer) + 1) * columns) for layer in range(stack.layers)]
    for layer in range(stack.layers):
        matrix[..., place[layer], place[layer]].diagonal(dim1=-2, dim2=-1).add_(cells[..., layer, :])
        fed[..., place[layer], word_plane(layer)] += cells[..., layer, :] * lines.driven[..., word_plane(layer), row, :]
    if stack.wires.lead_ohm:
        for one, other in _pairs(stack):
            matrix[..., place[one], place[other]] -= _lost(lines, word_plane(one), row, *_cells_of(cells, one, other))
    currents = torch.cat((view.currents, fed), -1)
    if view.top_inputs is None:
        return _View(matrix, currents, None, None)
    return _View(matrix, currents, view.top_nodes, torch.cat((view.top_inputs, torch.zeros_like(fed)), -1))


def _cells_of(cells: Tensor, one: int, other: int) -> tuple[Tensor, Tensor]:
    first = cells[..., one, :]
    return first, first if one == other else cells[..., other, :]


def _pairs(stack: Stack) -> list[tuple[int, int]]:
    """Return the pairs of layers (including each layer with itself) that share a word-line plane."""
    layers = range(stack.layers)
    return [(one, other) for one in layers for other in layers if word_plane(one) == word_plane(other)]


def _lost(lines: _Lines, plane: int, row: int, one: Tensor, other: Tensor) -> Tensor:
    """Return G·A⁻¹·G' of one word line, (..., columns, columns); to the right of a node the voltage falls by the ratios in between."""
    own = lines.own[..., plane, row, :]
    if lines.reach_log is not None:
        logs = lines.reach_log[..., plane, row, :]
        upper = own.unsqueeze(-1) * torch.exp((logs.unsqueeze(-2) - logs.unsqueeze(-1)).clamp(max=0.0))
        inverse = torch.triu(upper) + torch.triu(upper, 1).mT
        return one.unsqueeze(-1) * inverse * other.unsqueeze(-2)
    reach = lines.reach[..., plane, row, :]
    near, far = own / reach, reach
    right = torch.triu((one * near).unsqueeze(-1) * (far * other).unsqueeze(-2))
    if one is other:
        return right + torch.triu(right, 1).mT
    return right + torch.tril((one * far).unsqueeze(-1) * (near * other).unsqueeze(-2), -1)
