#include <bit>
#include <string>
#include <vector>

#include "mlx/fast.h"
#include "nn/cuda/kernels.h"

namespace pippin::nn::cuda {
namespace {

namespace mx = mlx::core;

constexpr int kThreads = 256;

// One block per row; two passes over it, the second from registers' or cache's copy.
constexpr const char* kAddNormSource = R"(
  const int width = x_shape[1];
  const long row = static_cast<long>(blockIdx.x) * width;
  __shared__ float partial[8];
  float sum = 0.0f;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    const T value = static_cast<T>(static_cast<float>(x[row + i]) + static_cast<float>(delta[row + i]));
    stream[row + i] = value;
    sum += static_cast<float>(value) * static_cast<float>(value);
  }
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  float total = 0.0f;
  for (int i = 0; i < 8; ++i) total += partial[i];
  const float scale = rsqrtf(total / width + __int_as_float(EPS));
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    normed[row + i] = static_cast<T>(static_cast<float>(stream[row + i]) * scale * weight[i]);
  }
)";

constexpr const char* kGatedSource = R"(
  const int ff = x_shape[1] / 2;
  const long row = blockIdx.y;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= ff) return;
  const float a = static_cast<float>(x[row * 2 * ff + i]), b = static_cast<float>(x[row * 2 * ff + ff + i]);
  const float gated = GELU ? 0.5f * a * (1.0f + tanhf(0.7978845608f * (a + 0.044715f * a * a * a)))
                           : a / (1.0f + __expf(-a));
  out[row * ff + i] = static_cast<T>(gated * b);
)";

}  // namespace

std::pair<mx::array, mx::array> add_rms_norm(const mx::array& x, const mx::array& delta,
                                             const mx::array& weight, float eps) {
  static const auto kernel = mx::fast::cuda_kernel("pippin_add_rms_norm", {"x", "delta", "weight"},
                                                   {"stream", "normed"}, kAddNormSource);
  const std::vector<mx::array> out =
      kernel({x, delta, weight}, {x.shape(), x.shape()}, {x.dtype(), x.dtype()},
             {x.shape(0) * kThreads, 1, 1}, {kThreads, 1, 1},
             {{"T", x.dtype()}, {"EPS", std::bit_cast<int>(eps)}}, std::nullopt, false, {});
  return {out[0], out[1]};
}

mx::array gated_activation(const mx::array& x, bool gelu) {
  static const auto kernel =
      mx::fast::cuda_kernel("pippin_gated_activation", {"x"}, {"out"}, kGatedSource);
  const int tokens = x.shape(0), ff = x.shape(1) / 2;
  const int blocks = (ff + kThreads - 1) / kThreads;
  return kernel({x}, {{tokens, ff}}, {x.dtype()}, {blocks * kThreads, tokens, 1}, {kThreads, 1, 1},
                {{"T", x.dtype()}, {"GELU", gelu}}, std::nullopt, false, {})[0];
}

}  // namespace pippin::nn::cuda
