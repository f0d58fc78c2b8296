// The kernels in AVX2 with FMA and F16C.
// Only this file is compiled for that instruction set, so everything in it lies in an unnamed
// namespace: no inline function leaks out.
#include "nn/cpu/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>

namespace pippin::nn::cpu {
namespace {

#include "nn/cpu/simd_avx2-inl.h"

#include "nn/cpu/simd_avx2_pairs-inl.h"

#include "nn/cpu/simd_x86_quantize-inl.h"

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

const Kernels* kernels_avx2() { return &kKernels; }

}  // namespace pippin::nn::cpu
#else
namespace pippin::nn::cpu {
const Kernels* kernels_avx2() { return nullptr; }
}  // namespace pippin::nn::cpu
#endif
