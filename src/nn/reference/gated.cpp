#include <cmath>

#include "mlx/ops.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {
namespace {

mx::array activated(Gate gate, const mx::array& x) {
  const auto number = [](double value) { return mx::array(static_cast<float>(value)); };
  switch (gate) {
    case Gate::kSilu:
      return mx::multiply(x, mx::sigmoid(x));
    case Gate::kGeluTanh: {
      const mx::array inner =
          mx::multiply(mx::array(std::sqrt(2.0f / 3.14159265358979f)),
                       mx::add(x, mx::multiply(number(0.044715), mx::power(x, number(3)))));
      return mx::multiply(mx::multiply(number(0.5), x), mx::add(number(1), mx::tanh(inner)));
    }
    case Gate::kGelu:
      return mx::multiply(mx::multiply(number(0.5), x),
                          mx::add(number(1), mx::erf(mx::multiply(x, number(std::sqrt(0.5))))));
    case Gate::kRelu:
      return mx::maximum(x, number(0));
    case Gate::kReluSquared:
      return mx::square(mx::maximum(x, number(0)));
    case Gate::kSigmoid:
      return mx::sigmoid(x);
    case Gate::kSwigluOai: {
      const mx::array g = mx::minimum(x, number(7));
      return mx::multiply(g, mx::sigmoid(mx::multiply(g, number(1.702))));
    }
  }
  return x;
}

}  // namespace

mx::array ReferenceBackend::xielu(const Xielu& curve, const mx::array& x) {
  const mx::array v = mx::astype(x, mx::float32);
  const auto times = [](float factor, const mx::array& of) {
    return mx::multiply(mx::array(factor), of);
  };
  const mx::array low = mx::subtract(mx::expm1(mx::minimum(v, mx::array(curve.eps))), v);
  const mx::array bent = mx::where(mx::greater(v, mx::array(0.0f)),
                                   times(curve.alpha_p, mx::square(v)), times(curve.alpha_n, low));
  return mx::astype(mx::add(bent, times(curve.beta, v)), dtype_);
}

mx::array ReferenceBackend::gate(Gate gate, const mx::array& by, const mx::array& x) {
  const mx::array g = activated(gate, mx::astype(by, mx::float32));
  mx::array u = mx::astype(x, mx::float32);
  if (gate == Gate::kSwigluOai)
    u = mx::add(mx::clip(u, mx::array(-7.0f), mx::array(7.0f)), mx::array(1.0f));
  return mx::astype(mx::multiply(g, u), dtype_);
}

mx::array ReferenceBackend::feed_forward(Gate gate, const LinearWeight& gate_up,
                                         const LinearWeight& down, const mx::array& x) {
  return linear(down, gated_activation(gate, linear(gate_up, x)));
}

mx::array ReferenceBackend::plain_feed_forward(Gate activation, const LinearWeight& up,
                                               const LinearWeight& down, const mx::array& x) {
  return linear(down, plain_activation(activation, linear(up, x)));
}

mx::array ReferenceBackend::plain_activation(Gate activation, const mx::array& x) const {
  return mx::astype(activated(activation, mx::astype(x, mx::float32)), dtype_);
}

mx::array ReferenceBackend::gated_activation(Gate gate, const mx::array& x) {
  const int ff = x.shape(1) / 2;
  return this->gate(gate, columns(x, 0, ff), columns(x, ff, ff));
}

}  // namespace pippin::nn
