#include "nn/ops/gated.h"

#include "nn/cuda/kernels.h"

namespace pippin::nn {

mx::array gated_activation(const Context& ctx, Gate gate, const mx::array& x) {
  if (ctx.backend == Backend::kStock) return gated_activation_ref(ctx, gate, x);
  if (ctx.backend == Backend::kCuda) return cuda::gated_activation(x, gate == Gate::kGeluTanh);
  const mx::array input = host_ready(x);
  const int ff = input.shape(1) / 2;
  mx::array out = allocate(ctx, {input.shape(0), ff}, mx::float32);
  cpu::gated_activation(input.data<float>(), input.shape(0), ff, gate, out.data<float>(),
                        *ctx.pool);
  return out;
}

}  // namespace pippin::nn
