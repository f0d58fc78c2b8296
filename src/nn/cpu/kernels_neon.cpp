// The kernels in NEON with dot product.
// Only this file is compiled for that instruction set, so everything in it lies in an unnamed
// namespace: no inline function leaks out.
#include "nn/cpu/kernels.h"

#if defined(__ARM_NEON) && defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>

namespace pippin::nn::cpu {
namespace {

#include "nn/cpu/simd_neon-inl.h"

#include "nn/cpu/simd_dot_sums-inl.h"

#include "nn/cpu/simd_neon_dot-inl.h"

#include "nn/cpu/simd_quantize-inl.h"

#include "nn/cpu/tile-inl.h"

#include "nn/cpu/group_pair-inl.h"

#include "nn/cpu/linear-inl.h"

#include "nn/cpu/norm_rope-inl.h"

#include "nn/cpu/attention-inl.h"

#include "nn/cpu/recurrent-inl.h"

#include "nn/cpu/latent-inl.h"

constexpr Kernels kKernels{.linear = linear_kernels(),
                           .norm_rope = norm_rope_kernels(),
                           .attention = attention_kernels(),
                           .recurrent = recurrent_kernels(),
                           .latent = latent_kernels()};

}  // namespace

const Kernels* kernels_neon() { return &kKernels; }

}  // namespace pippin::nn::cpu
#else
namespace pippin::nn::cpu {
const Kernels* kernels_neon() { return nullptr; }
}  // namespace pippin::nn::cpu
#endif
