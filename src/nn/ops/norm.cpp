#include "nn/ops/norm.h"

#include <optional>

#include "mlx/fast.h"
#include "mlx/ops.h"
#include "nn/cpu/attention.h"
#include "nn/cuda/kernels.h"

namespace pippin::nn {
namespace {

mx::array norm_cpu(const Context& ctx, const NormWeight& weight, mx::array& x,
                   const mx::array* delta) {
  CHECK(x.ndim() == 2 && static_cast<size_t>(x.shape(1)) == weight.values.size(),
        "rms_norm: x must be [T, E]");
  // The residual stream is ours alone inside a forward pass, so it is updated in place.
  mx::array stream = host_ready(x);
  mx::array out = allocate(ctx, stream.shape(), mx::float32);
  std::optional<mx::array> add_input;
  if (delta != nullptr) add_input = host_ready(*delta);
  cpu::rms_norm(stream.data<float>(), add_input ? add_input->data<float>() : nullptr,
                weight.values.data(), weight.eps, stream.shape(0), stream.shape(1),
                out.data<float>(), *ctx.pool);
  x = stream;
  return out;
}

}  // namespace

mx::array rms_norm(const Context& ctx, const NormWeight& weight, const mx::array& x) {
  if (ctx.backend == Backend::kStock) return rms_norm_ref(ctx, weight, x);
  if (ctx.backend == Backend::kCuda)
    return mx::fast::rms_norm(x, weight.values.array(ctx.dtype), weight.eps);
  mx::array stream = x;
  return norm_cpu(ctx, weight, stream, nullptr);
}

mx::array add_rms_norm(const Context& ctx, const NormWeight& weight, mx::array& x,
                       const mx::array& delta) {
  if (ctx.backend == Backend::kStock) {
    x = mx::add(x, delta);
    return rms_norm_ref(ctx, weight, x);
  }
  if (ctx.backend == Backend::kCuda && !cuda::add_rms_norm_supported(x)) {
    x = mx::add(x, delta);
    return rms_norm(ctx, weight, x);
  }
  if (ctx.backend == Backend::kCuda) {
    auto [stream, normed] = cuda::add_rms_norm(x, delta, weight.values.array(), weight.eps);
    x = std::move(stream);
    return std::move(normed);
  }
  return norm_cpu(ctx, weight, x, &delta);
}

mx::array add(const Context& ctx, const mx::array& x, const mx::array& delta) {
  if (ctx.backend != Backend::kCpu) return mx::add(x, delta);
  const mx::array a = host_ready(x), b = host_ready(delta);
  mx::array out = allocate(ctx, a.shape(), mx::float32);
  const float *pa = a.data<float>(), *pb = b.data<float>();
  float* po = out.data<float>();
  for (size_t i = 0; i < a.size(); ++i) po[i] = pa[i] + pb[i];
  return out;
}

}  // namespace pippin::nn
