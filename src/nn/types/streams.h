// What backends share about parallel residual streams. Thread: any.
#pragma once

namespace pippin::nn {

/// A row whose mean square is smaller counts as if it had this one.
inline constexpr float kMeanSquareLeast = 1e-5f;

}  // namespace pippin::nn
