"""What a quantised graph computes, in integers: the definition that every machine is held against.

A tensor holds integers q that stand for scale · (q − zero). Every operator is one of these:

* **Products** (convolution, linear, matrix product): the sum of products of (q − zero) is exact, the integer bias is added,
  and the accumulator is requantised.
* **Requantise** an accumulator a to a result: q = clamp(round(f32(a) · M) + zero), M = f32(s_x · s_w) / s_y, in IEEE binary32
  with one rounding each (nearest, ties to even), as FBGEMM and onnxruntime's CPU kernels do. Saturates.
* **A product with a residual on its bit lines**: gain · (q_r − z_r), gain a whole number, joins the sums before they are requantised.
* **Addition** and **subtraction**: f32(q_a − z_a) · M_a ± f32(q_b − z_b) · M_b, each operation rounded once, then as above.
* **Multiplication**: the product of integers is exact and requantised.
* **Functions of one element**: a table with one entry for each input integer.
* **Pooling, sums, means**: integer sums are exact and requantised; the largest is chosen among integers.
* **Softmax**: a table of round(2²⁰ · e^(−s·d)) for each distance d from the largest integer, an exact integer sum, and one
  float64 division for each element.
* **Normalisations**: integer sums of q and q² are exact; what follows is float64, element by element.
* **Moves**: integers are moved.
* **Anything else** (bilinear resize, division, powers): float64 on the real values, then rounded to integers.

No result depends on the order of a floating-point sum, so batch size, thread count and blocking cannot change it.
"""

from crossloom.network.integer.arithmetic import Operand as Operand
from crossloom.network.integer.arithmetic import exact_sums as exact_sums
from crossloom.network.integer.arithmetic import multiplier as multiplier
from crossloom.network.integer.arithmetic import plain_arithmetic as plain_arithmetic
from crossloom.network.integer.arithmetic import requantize as requantize
from crossloom.network.integer.replay import Accumulate as Accumulate
from crossloom.network.integer.replay import evaluate as evaluate
from crossloom.network.integer.replay import integer_replay as integer_replay
from crossloom.network.integer.replay import quantized_inputs as quantized_inputs
from crossloom.network.integer.replay import real_outputs as real_outputs
