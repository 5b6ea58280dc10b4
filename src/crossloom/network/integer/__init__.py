"""Integer semantics of a quantised graph: the reference for every machine.

A tensor holds integers q that represent scale · (q − zero). Every operator falls into one of these classes:

* **Products** (convolution, linear, matrix product): the sum of products of (q − zero) is exact, the integer bias is added,
  and the accumulator is requantised.
* **Requantisation** of an accumulator a: q = clamp(round(f32(a) · M) + zero), M = f32(s_x · s_w) / s_y, in IEEE binary32 with
  one rounding per operation (nearest, ties to even), as in FBGEMM and onnxruntime's CPU kernels. Results saturate.
* **Products with a residual on the same bit lines**: gain · (q_r − z_r), with an integer gain, is added to the sums before requantisation.
* **Addition** and **subtraction**: f32(q_a − z_a) · M_a ± f32(q_b − z_b) · M_b, each operation rounded once, then rounded and
  saturated as above.
* **Multiplication**: the integer product is exact and requantised.
* **Element-wise functions**: a table with one entry for each input integer.
* **Pooling, sums, means**: integer sums are exact and requantised; maxima are taken over integers.
* **Softmax**: a table of round(2²⁰ · e^(−s·d)) for each distance d from the largest integer, an exact integer sum, and one
  float64 division per element.
* **Normalisations**: integer sums of q and q² are exact; the remaining arithmetic is element-wise in float64.
* **Moves**: integers are moved.
* **Other operators** (bilinear resize, division, powers): float64 on the real values, then rounding to integers.

No result depends on the order of a floating-point sum, so it is independent of batch size, thread count and blocking.
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
