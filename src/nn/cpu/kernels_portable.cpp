// The kernels in plain C++: the oracle of the others, and the path of last resort.
#include "nn/cpu/kernels.h"

#include "nn/cpu/float_formats.h"

namespace pippin::nn::cpu {
namespace {

#include "nn/cpu/simd_portable.h"

#include "nn/cpu/simd_quantize.h"

#include "nn/cpu/tile_body.h"

#include "nn/cpu/twin_body.h"

#include "nn/cpu/linear_body.h"

#include "nn/cpu/rows_body.h"

#include "nn/cpu/attention_body.h"

constexpr Kernels kKernels{
    .linear = linear_kernels(), .rows = row_kernels(), .attention = attention_kernels()};

}  // namespace

const Kernels* kernels_portable() { return &kKernels; }

}  // namespace pippin::nn::cpu
