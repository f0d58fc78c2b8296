// The activations of feed-forward layers as functions over values. Internal to nn/cpu. Thread: any.
#pragma once

#include <cstdint>

#include "nn/cpu/kernels.h"
#include "nn/types/gate.h"

namespace pippin::nn::cpu {

/// Writes gate(by[i]) * x[i]; `out` may be either.
using GateFunction = void (*)(const float* by, const float* x, int64_t count, float* out);

/// Returns a path's function. Those that are not worth vectors are the same on every path.
GateFunction gate_function(const NormRopeKernels& path, Gate gate);

}  // namespace pippin::nn::cpu
