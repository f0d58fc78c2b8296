#include <cmath>

#include "mlx/ops.h"
#include "nn/ops/gated.h"

namespace pippin::nn {

mx::array gated_activation_ref(const Context& ctx, Gate gate, const mx::array& x) {
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
  return mx::astype(mx::multiply(gated, b), ctx.dtype);
}

}  // namespace pippin::nn
