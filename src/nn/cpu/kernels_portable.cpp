// The kernels in plain C++: the oracle of the others, and the path of last resort.
#include "nn/cpu/kernels.h"

#include "base/float_formats.h"

namespace pippin::nn::cpu {
namespace {

#include "nn/cpu/simd_portable-inl.h"

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

const Kernels* kernels_portable() { return &kKernels; }

}  // namespace pippin::nn::cpu
