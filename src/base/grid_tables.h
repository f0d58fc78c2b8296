// The grids of GGML's IQ1 to IQ3 formats: the points that a code word may stand for. Internal to
// base/block_codes. Source: the grids of ggml-common.h.
#pragma once

#include <cstdint>

namespace pippin {

/// Of eight columns: two bits each, the first in the lowest. They number the magnitudes 8, 25, 43;
/// of IQ1_S and IQ1_M the values -1, 0, 1.
extern const uint16_t kGridIQ2XXS[256], kGridIQ2XS[512], kGridIQ2S[1024], kGridIQ1S[2048];
/// Of four columns: four bits each. They number eight magnitudes (block_codes.h).
extern const uint16_t kGridIQ3XXS[256], kGridIQ3S[512];

}  // namespace pippin
