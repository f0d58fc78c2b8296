// The kernels in AVX-512 with VNNI.
// Only this file is compiled for that instruction set, so everything in it lies in an unnamed
// namespace: no inline function leaks out.
#include "nn/cpu/kernels.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>

namespace pippin::nn::cpu {
namespace {

#include "nn/cpu/simd_avx512.h"

#include "nn/cpu/simd_x86_quantize.h"

#include "nn/cpu/tile_body.h"

#include "nn/cpu/twin_body.h"

#include "nn/cpu/linear_body.h"

#include "nn/cpu/paired_products.h"

#include "nn/cpu/rows_body.h"

#include "nn/cpu/attention_body.h"

constexpr Kernels kKernels{
    .linear = linear_kernels(), .rows = row_kernels(), .attention = attention_kernels()};

constexpr Kernels kZenKernels{.linear = paired_linear_kernels(kKernels.linear),
                              .rows = kKernels.rows,
                              .attention = kKernels.attention};

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
