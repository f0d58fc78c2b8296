#include <cmath>

#include "mlx/ops.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {

mx::array ReferenceBackend::feed_forward(Gate gate, const LinearWeight& gate_up,
                                         const LinearWeight& down, const mx::array& x) {
  return linear(down, gated_activation(gate, linear(gate_up, x)));
}

mx::array ReferenceBackend::gated_activation(Gate gate, const mx::array& x) {
  const int tokens = x.shape(0), ff = x.shape(1) / 2;
  const mx::array a = mx::astype(mx::slice(x, mx::Shape{0, 0}, mx::Shape{tokens, ff}), mx::float32);
  const mx::array b =
      mx::astype(mx::slice(x, mx::Shape{0, ff}, mx::Shape{tokens, 2 * ff}), mx::float32);
  mx::array gated = a;
  if (gate == Gate::kSilu) {
    gated = mx::multiply(a, mx::sigmoid(a));
  } else {
    const mx::array inner =
        mx::multiply(mx::array(std::sqrt(2.0f / 3.14159265358979f)),
                     mx::add(a, mx::multiply(mx::array(0.044715f), mx::power(a, mx::array(3.0f)))));
    gated =
        mx::multiply(mx::multiply(mx::array(0.5f), a), mx::add(mx::array(1.0f), mx::tanh(inner)));
  }
  return mx::astype(mx::multiply(gated, b), dtype_);
}

}  // namespace pippin::nn
