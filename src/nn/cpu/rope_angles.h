// RopeAngles: how a token's heads are turned. Internal to nn/cpu. Thread: any.
#pragma once

#include <array>
#include <cstddef>

#include "nn/cpu/kernels.h"

namespace pippin::nn::cpu {

/// The cosines and sines of one token's rotation, as NormRopeKernels::rotate wants them.
struct RopeAngles {
  std::array<float, kHeadDimMax> cosine;
  std::array<float, kHeadDimMax> sine;

  void compute(const NormRopeKernels& path, int position, const RopeParams& rope) {
    const int half = rope.dims / 2;
    path.angles(static_cast<float>(position), rope.inv_freq, half, cosine.data(), sine.data());
    if (rope.magnitude != 1) {
      for (size_t i = 0; i < static_cast<size_t>(half); ++i) {
        cosine[i] *= rope.magnitude;
        sine[i] *= rope.magnitude;
      }
    }
    if (!rope.interleaved) return;
    for (int i = half - 1; i >= 0; --i) {  // downwards: spreads in place
      const auto at = static_cast<size_t>(i);
      const float c = cosine[at];
      const float s = sine[at];
      cosine[2 * at] = cosine[2 * at + 1] = c;
      sine[2 * at] = -s;
      sine[2 * at + 1] = s;
    }
  }
};

}  // namespace pippin::nn::cpu
