#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "base/check.h"
#include "mlx/fast.h"
#include "nn/cuda/kernels.h"

namespace pippin::nn::cuda {
namespace {

namespace mx = mlx::core;

constexpr int kThreads = 256;
// A row is at most this many threads wide, and each holds at most this many groups of eight.
constexpr int kRowThreadsMax = 512;
constexpr int kHeldMax = 4;

// One block per row, eight neighbours a load; the row stays in registers between the two passes.
constexpr const char* kAddNormSource = R"(
  const int width = x_shape[1], vectors = width / 8;
  const long row = static_cast<long>(blockIdx.x) * width;
  __shared__ float partial[32];
  alignas(16) T kept[HELD][8];
  float sum = 0.0f;
  _Pragma("unroll")
  for (int h = 0; h < HELD; ++h) {
    const int i = h * blockDim.x + threadIdx.x;
    if (i >= vectors) break;
    alignas(16) T a[8];
    alignas(16) T b[8];
    *reinterpret_cast<uint4*>(a) = reinterpret_cast<const uint4*>(x + row)[i];
    *reinterpret_cast<uint4*>(b) = reinterpret_cast<const uint4*>(delta + row)[i];
    _Pragma("unroll")
    for (int k = 0; k < 8; ++k) {
      kept[h][k] = static_cast<T>(static_cast<float>(a[k]) + static_cast<float>(b[k]));
      sum += static_cast<float>(kept[h][k]) * static_cast<float>(kept[h][k]);
    }
    reinterpret_cast<uint4*>(stream + row)[i] = *reinterpret_cast<const uint4*>(kept[h]);
  }
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  float total = 0.0f;
  for (int i = 0; i < blockDim.x / 32; ++i) total += partial[i];
  const float scale = rsqrtf(total / width + __int_as_float(EPS));
  _Pragma("unroll")
  for (int h = 0; h < HELD; ++h) {
    const int i = h * blockDim.x + threadIdx.x;
    if (i >= vectors) break;
    _Pragma("unroll")
    for (int k = 0; k < 8; ++k)
      kept[h][k] = static_cast<T>(static_cast<float>(kept[h][k]) * scale * weight[8 * i + k]);
    reinterpret_cast<uint4*>(normed + row)[i] = *reinterpret_cast<const uint4*>(kept[h]);
  }
)";

constexpr const char* kGatedSource = R"(
  const int ff = x_shape[1] / 2, i = (blockIdx.x * blockDim.x + threadIdx.x) * VEC;
  const long row = blockIdx.y;
  if (i >= ff) return;
  struct alignas(VEC * sizeof(T)) Piece { T at[VEC]; };
  Piece a = *reinterpret_cast<const Piece*>(x + row * 2 * ff + i);
  const Piece b = *reinterpret_cast<const Piece*>(x + row * 2 * ff + ff + i);
  _Pragma("unroll")
  for (int k = 0; k < VEC; ++k) {
    const float g = static_cast<float>(a.at[k]);
    const float gated = GELU ? 0.5f * g * (1.0f + tanhf(0.7978845608f * (g + 0.044715f * g * g * g)))
                             : g / (1.0f + __expf(-g));
    a.at[k] = static_cast<T>(gated * static_cast<float>(b.at[k]));
  }
  *reinterpret_cast<Piece*>(out + row * ff + i) = a;
)";

}  // namespace

bool add_rms_norm_supported(const mx::array& x) {
  return x.dtype() == mx::bfloat16 && x.shape(1) % 8 == 0 &&
         x.shape(1) <= 8 * kHeldMax * kRowThreadsMax;
}

std::pair<mx::array, mx::array> add_rms_norm(const mx::array& x, const mx::array& delta,
                                             const mx::array& weight, float eps) {
  static const auto kernel = mx::fast::cuda_kernel("pippin_add_rms_norm", {"x", "delta", "weight"},
                                                   {"stream", "normed"}, kAddNormSource);
  CHECK(add_rms_norm_supported(x), "unsupported add_rms_norm");
  const int vectors = x.shape(1) / 8;
  const int threads = std::min((vectors + 31) / 32 * 32, kRowThreadsMax);
  const int held = (vectors + threads - 1) / threads;
  const std::vector<mx::array> out =
      kernel({x, delta, weight}, {x.shape(), x.shape()}, {x.dtype(), x.dtype()},
             {x.shape(0) * threads, 1, 1}, {threads, 1, 1},
             {{"T", x.dtype()}, {"EPS", std::bit_cast<int>(eps)}, {"HELD", held}}, std::nullopt,
             false, {});
  return {out[0], out[1]};
}

mx::array gated_activation(const mx::array& x, bool gelu) {
  static const auto kernel =
      mx::fast::cuda_kernel("pippin_gated_activation", {"x"}, {"out"}, kGatedSource);
  const int tokens = x.shape(0), ff = x.shape(1) / 2;
  const int vec = ff % 8 == 0 ? 8 : 1, blocks = (ff / vec + kThreads - 1) / kThreads;
  return kernel({x}, {{tokens, ff}}, {x.dtype()}, {blocks * kThreads, tokens, 1}, {kThreads, 1, 1},
                {{"T", x.dtype()}, {"GELU", gelu}, {"VEC", vec}}, std::nullopt, false, {})[0];
}

}  // namespace pippin::nn::cuda
