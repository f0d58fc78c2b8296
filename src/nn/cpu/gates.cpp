#include "nn/cpu/gates.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pippin::nn::cpu {
namespace {

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

template <typename Function>
void each(const float* by, const float* x, int64_t count, float* out, Function function) {
  for (int64_t i = 0; i < count; ++i) out[i] = function(by[i], x[i]);
}

void gelu(const float* by, const float* x, int64_t count, float* out) {
  constexpr auto kScale = static_cast<float>(1 / std::numbers::sqrt2);
  each(by, x, count, out,
       [](float g, float u) { return 0.5f * g * (1.0f + std::erf(g * kScale)) * u; });
}

void relu(const float* by, const float* x, int64_t count, float* out) {
  each(by, x, count, out, [](float g, float u) { return std::max(g, 0.0f) * u; });
}

void relu_squared(const float* by, const float* x, int64_t count, float* out) {
  each(by, x, count, out, [](float g, float u) {
    const float positive = std::max(g, 0.0f);
    return positive * positive * u;
  });
}

void swiglu_oai(const float* by, const float* x, int64_t count, float* out) {
  each(by, x, count, out, [](float g, float u) {
    const float held = std::min(g, 7.0f);
    return held * sigmoid(1.702f * held) * (std::clamp(u, -7.0f, 7.0f) + 1.0f);
  });
}

}  // namespace

GateFunction gate_function(const NormRopeKernels& path, Gate gate) {
  switch (gate) {
    case Gate::kSilu:
      return path.silu;
    case Gate::kGeluTanh:
      return path.gelu_tanh;
    case Gate::kGelu:
      return gelu;
    case Gate::kRelu:
      return relu;
    case Gate::kReluSquared:
      return relu_squared;
    case Gate::kSigmoid:
      return path.sigmoid;
    case Gate::kSwigluOai:
      return swiglu_oai;
  }
  return path.silu;
}

}  // namespace pippin::nn::cpu
