// norm, alone and behind a residual add. Thread: the device thread.
#pragma once

#include "nn/backend/backend.h"

namespace pippin::nn {

/// x / sqrt(mean(x^2) + eps) * weight, in f32 inside. A centred norm (layer norm) subtracts the
/// mean of x first and adds its bias last. Shapes: [T, E] -> [T, E]. Tolerance: 1e-5 relative.
/// Source: Zhang, Sennrich, Root Mean Square Layer Normalization, 2019; Ba et al., 2016.
mx::array norm(Backend& on, const NormWeight& weight, const mx::array& x);

/// The residual stream takes in `delta`, then is normed: x = x + delta; returns norm(x). x is
/// replaced.
mx::array add_norm(Backend& on, const NormWeight& weight, mx::array& x, const mx::array& delta);

/// x with norm() of its columns [first, first + E) alone; x may be changed. Shapes: [T, N] ->
/// [T, N]; weight [E].
mx::array norm_columns(Backend& on, const NormWeight& weight, const mx::array& x, int first);

/// x + delta. Shapes: [T, E]. For the last residual and where no norm follows.
mx::array add(Backend& on, const mx::array& x, const mx::array& delta);

}  // namespace pippin::nn
