// The kernels in AVX2 with AVX-VNNI.
// Only this file is compiled for that instruction set, so everything in it lies in an unnamed
// namespace: no inline function leaks out.
#include "nn/cpu/kernels.h"

#if defined(__AVX2__) && (defined(__AVXVNNI__) || defined(__AVX512VNNI__))
#include <immintrin.h>

namespace pippin::nn::cpu {
namespace {

#include "nn/cpu/simd_avx2.h"

#include "nn/cpu/simd_dot_sums.h"

#include "nn/cpu/simd_avx2_vnni.h"

#include "nn/cpu/simd_x86_quantize.h"

#include "nn/cpu/tile_body.h"

#include "nn/cpu/twin_body.h"

#include "nn/cpu/linear_body.h"

#include "nn/cpu/rows_body.h"

#include "nn/cpu/attention_body.h"

constexpr Kernels kKernels{
    .linear = linear_kernels(), .rows = row_kernels(), .attention = attention_kernels()};

}  // namespace

const Kernels* kernels_avx2vnni() { return &kKernels; }

}  // namespace pippin::nn::cpu
#else
namespace pippin::nn::cpu {
const Kernels* kernels_avx2vnni() { return nullptr; }
}  // namespace pippin::nn::cpu
#endif
