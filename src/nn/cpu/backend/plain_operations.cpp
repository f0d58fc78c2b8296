// CpuBackend: operations that are too small, or too rare, for kernels of their own. Each value or
// row is computed alone, so none depends on its neighbours.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "nn/cpu/backend/cpu_backend.h"
#include "nn/cpu/gates.h"
#include "nn/cpu/kernels.h"

namespace pippin::nn {

mx::array CpuBackend::scale_rows(const mx::array& x, const std::vector<float>& factors) {
  const mx::array input = host_ready(x);
  mx::array y = allocate(input.shape());
  const auto width = static_cast<size_t>(input.shape(1));
  for (size_t row = 0; row < factors.size(); ++row) {
    const float* from = input.data<float>() + row * width;
    float* to = y.data<float>() + row * width;
    for (size_t i = 0; i < width; ++i) to[i] = from[i] * factors[row];
  }
  return y;
}

mx::array CpuBackend::columns(const mx::array& x, int first, int count) {
  const mx::array input = host_ready(x);
  mx::array y = allocate({input.shape(0), count});
  for (int row = 0; row < input.shape(0); ++row) {
    std::memcpy(y.data<float>() + static_cast<size_t>(row) * static_cast<size_t>(count),
                input.data<float>() +
                    static_cast<size_t>(row) * static_cast<size_t>(input.shape(1)) + first,
                static_cast<size_t>(count) * sizeof(float));
  }
  return y;
}

// The residual stream is ours alone inside a forward pass, so it is updated in place.
mx::array CpuBackend::layer_norm(const NormWeight& weight, mx::array& x, const mx::array* delta) {
  mx::array stream = host_ready(x);
  mx::array out = allocate(stream.shape());
  std::optional<mx::array> added;
  if (delta != nullptr) added = host_ready(*delta);
  const auto width = static_cast<size_t>(stream.shape(1));
  const float *scales = weight.values.data(), *bias = weight.bias.data();
  threads_.run(stream.shape(0), [&](int t, int) {
    const size_t at = static_cast<size_t>(t) * width;
    float *row = stream.data<float>() + at, *to = out.data<float>() + at;
    float sum = 0, squares = 0;
    for (size_t i = 0; i < width; ++i) {
      if (added) row[i] += added->data<float>()[at + i];
      sum += row[i];
    }
    const float mean = sum / static_cast<float>(width);
    for (size_t i = 0; i < width; ++i) squares += (row[i] - mean) * (row[i] - mean);
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(width) + weight.eps);
    for (size_t i = 0; i < width; ++i) {
      to[i] = (row[i] - mean) * scale * scales[i];
      if (bias != nullptr) to[i] += bias[i];
    }
  });
  x = stream;
  return out;
}

mx::array CpuBackend::xielu(const Xielu& curve, const mx::array& x) {
  const mx::array input = host_ready(x);
  mx::array y = allocate(input.shape());
  const auto width = static_cast<size_t>(input.shape(1));
  threads_.run(input.shape(0), [&](int t, int) {
    const size_t at = static_cast<size_t>(t) * width;
    const float* row = input.data<float>() + at;
    float* out = y.data<float>() + at;
    for (size_t i = 0; i < width; ++i) {
      const float v = row[i];
      const float bent =
          v > 0 ? curve.alpha_p * v * v : curve.alpha_n * (std::expm1(std::min(v, curve.eps)) - v);
      out[i] = bent + curve.beta * v;
    }
  });
  return y;
}

mx::array CpuBackend::gate(Gate gate, const mx::array& by, const mx::array& x) {
  const mx::array gates = host_ready(by), input = host_ready(x);
  mx::array y = allocate(input.shape());
  const cpu::GateFunction function = cpu::gate_function(cpu::kernels(isa_).norm_rope, gate);
  const auto width = static_cast<size_t>(input.shape(1));
  const bool one = gates.shape(1) == 1;
  threads_.run(input.shape(0), [&](int t, int) {
    const auto row = static_cast<size_t>(t);
    const float* values = input.data<float>() + row * width;
    float* out = y.data<float>() + row * width;
    if (!one) {
      function(gates.data<float>() + row * width, values, static_cast<int64_t>(width), out);
      return;
    }
    const float unit = 1;
    float factor;
    function(gates.data<float>() + row, &unit, 1, &factor);
    for (size_t i = 0; i < width; ++i) out[i] = factor * values[i];
  });
  return y;
}

mx::array CpuBackend::plain_feed_forward(Gate activation, const LinearWeight& up,
                                         const LinearWeight& down, const mx::array& x) {
  mx::array inner = linear(up, x);
  const std::vector<float> ones(static_cast<size_t>(inner.shape(1)), 1.0f);
  const cpu::GateFunction function = cpu::gate_function(cpu::kernels(isa_).norm_rope, activation);
  threads_.run(inner.shape(0), [&](int t, int) {
    float* row = inner.data<float>() + static_cast<size_t>(t) * ones.size();
    function(row, ones.data(), static_cast<int64_t>(ones.size()), row);
  });
  return linear(down, inner);
}

}  // namespace pippin::nn
