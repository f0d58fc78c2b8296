// The kernels in AVX-512 with VNNI.
// Only this file is compiled for that instruction set, so everything in it lies in an unnamed
// namespace: no inline function leaks out.
#include "nn/cpu/kernels.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>

namespace pippin::nn::cpu {
namespace {

#include "nn/cpu/simd_avx512-inl.h"

#include "nn/cpu/simd_x86_quantize-inl.h"

#include "nn/cpu/tile-inl.h"

#include "nn/cpu/group_pair-inl.h"

#include "nn/cpu/linear-inl.h"

#include "nn/cpu/winograd-inl.h"

#include "nn/cpu/norm_rope-inl.h"

#include "nn/cpu/attention-inl.h"

#include "nn/cpu/recurrent-inl.h"

#include "nn/cpu/latent-inl.h"

constexpr Kernels kKernels{.linear = linear_kernels(),
                           .norm_rope = norm_rope_kernels(),
                           .attention = attention_kernels(),
                           .recurrent = recurrent_kernels(),
                           .latent = latent_kernels()};

constexpr Kernels kZenKernels{.linear = winograd_linear_kernels(kKernels.linear),
                              .norm_rope = kKernels.norm_rope,
                              .attention = kKernels.attention,
                              .recurrent = kKernels.recurrent,
                              .latent = kKernels.latent};

}  // namespace

const Kernels* kernels_avx512vnni() { return &kKernels; }
const Kernels* kernels_avx512zen() { return &kZenKernels; }

}  // namespace pippin::nn::cpu
#else
namespace pippin::nn::cpu {
const Kernels* kernels_avx512vnni() { return nullptr; }
const Kernels* kernels_avx512zen() { return nullptr; }
}  // namespace pippin::nn::cpu
#endif
