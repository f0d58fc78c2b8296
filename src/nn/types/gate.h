// Gate: the activation of a feed-forward layer, or of an output gate. Thread: any.
#pragma once

#include <cstdint>

namespace pippin::nn {

enum class Gate : uint8_t {
  kSilu,
  kGeluTanh,
  kGelu,  // x / 2 * (1 + erf(x / sqrt(2)))
  kRelu,
  kReluSquared,
  kSigmoid,
  /// gpt-oss: g = min(gate, 7), u = clamp(up, -7, 7): g * sigmoid(1.702 g) * (u + 1).
  kSwigluOai,
};
constexpr int kGates = 7;

}  // namespace pippin::nn
