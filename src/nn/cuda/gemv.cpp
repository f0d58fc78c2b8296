#include <string>
#include <vector>

#include "base/check.h"
#include "mlx/fast.h"
#include "nn/cuda/kernels.h"

namespace pippin::nn::cuda {
namespace {

namespace mx = mlx::core;

constexpr int kThreads = 128;

// A warp per output; eight weights a load, four loads in flight, which are read once and not kept.
constexpr const char* kSource = R"(
  constexpr int UNROLL = 4;
  const int output = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  const int outputs = w_shape[0], width = w_shape[1], vectors = width / 8;
  if (output >= outputs) return;
  const uint4* weights = reinterpret_cast<const uint4*>(w + static_cast<long>(output) * width);
  float sum[M];
  _Pragma("unroll")
  for (int m = 0; m < M; ++m) sum[m] = 0.0f;
  for (int base = lane; base < vectors; base += 32 * UNROLL) {
    uint4 loaded[UNROLL];
    _Pragma("unroll")
    for (int u = 0; u < UNROLL; ++u) {
      const int i = base + 32 * u;
      loaded[u] = i < vectors ? __ldcs(weights + i) : make_uint4(0, 0, 0, 0);
    }
    _Pragma("unroll")
    for (int u = 0; u < UNROLL; ++u) {
      const int i = min(base + 32 * u, vectors - 1);
      const unsigned a[4] = {loaded[u].x, loaded[u].y, loaded[u].z, loaded[u].w};
      _Pragma("unroll")
      for (int m = 0; m < M; ++m) {
        const uint4 row = reinterpret_cast<const uint4*>(x + static_cast<long>(m) * width)[i];
        const unsigned b[4] = {row.x, row.y, row.z, row.w};
        _Pragma("unroll")
        for (int k = 0; k < 4; ++k) {
          sum[m] += __uint_as_float(a[k] << 16) * __uint_as_float(b[k] << 16);
          sum[m] += __uint_as_float(a[k] & 0xffff0000u) * __uint_as_float(b[k] & 0xffff0000u);
        }
      }
    }
  }
  _Pragma("unroll")
  for (int m = 0; m < M; ++m) {
    for (int step = 16; step > 0; step /= 2) sum[m] += __shfl_xor_sync(0xffffffffu, sum[m], step);
    if (lane == 0) y[static_cast<long>(m) * outputs + output] = static_cast<T>(sum[m]);
  }
)";

}  // namespace

bool gemv_supported(const mx::array& x, const mx::array& w) {
  return x.shape(0) <= kGemvRowsMax && x.dtype() == mx::bfloat16 && w.dtype() == mx::bfloat16 &&
         w.shape(1) % 8 == 0;
}

mx::array gemv(const mx::array& x, const mx::array& w) {
  static const auto kernel = mx::fast::cuda_kernel("pippin_gemv", {"x", "w"}, {"y"}, kSource);
  CHECK(gemv_supported(x, w), "unsupported gemv");
  const int outputs = w.shape(0), blocks = (outputs + kThreads / 32 - 1) / (kThreads / 32);
  return kernel({x, w}, {{x.shape(0), outputs}}, {x.dtype()}, {blocks * kThreads, 1, 1},
                {kThreads, 1, 1}, {{"T", x.dtype()}, {"M", x.shape(0)}}, std::nullopt, false,
                {})[0];
}

}  // namespace pippin::nn::cuda
