// Operations of models that keep several residual streams side by side (Gemma 3n). Thread: the
// device thread.
#pragma once

#include "nn/backend/backend.h"

namespace pippin::nn {

/// Of n streams side by side, m weighted sums: block i of y is the sum over j, in order, of block j
/// of x times weights[t, i n + j]. Shapes: x [T, n E], weights [T, m n] -> [T, m E]. Tolerance:
/// 1e-6 relative. Source: Baykal et al., Alternating Updates for Efficient Transformers, 2023.
mx::array mix_streams(Backend& on, const mx::array& x, int streams, const mx::array& weights);

/// Each row of x with the root mean square of that row of `like`; one of x below sqrt(1e-5) counts
/// as that. Shapes: [T, E] both -> [T, E]. Tolerance: 1e-5 relative.
mx::array match_magnitude(Backend& on, const mx::array& x, const mx::array& like);

/// max(0, x - mean - deviations * deviation), with mean and standard deviation of each row: about
/// the largest share of values that a normal distribution has there. Shapes: [T, N] -> [T, N].
/// Tolerance: 1e-5 of the largest value.
mx::array above_mean(Backend& on, const mx::array& x, float deviations);

/// x with column i times factors[i]. Shapes: [T, E], E factors -> [T, E].
mx::array scale_columns(Backend& on, const mx::array& x, const FloatVector& factors);

}  // namespace pippin::nn
