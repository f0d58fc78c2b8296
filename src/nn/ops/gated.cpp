#include "nn/ops/gated.h"

#include "nn/cuda/kernels.h"

namespace pippin::nn {

mx::array gated_linear(const Context& ctx, Gate gate, const LinearWeight& weight,
                       const mx::array& x) {
  if (ctx.backend != Backend::kCpu) return gated_activation(ctx, gate, linear(ctx, weight, x));
  CHECK(x.ndim() == 2 && x.shape(1) == weight.columns, "gated_linear: x must be [T, K]");
  const mx::array input = host_ready(x);
  mx::array y = allocate(ctx, {input.shape(0), weight.rows / 2}, mx::float32);
  cpu::gated_linear(*weight.packed, input.data<float>(), input.shape(0), weight.bias.data(), gate,
                    y.data<float>(), *ctx.scratch, *ctx.pool, ctx.activations, weight.next.get());
  return y;
}

mx::array gated_activation(const Context& ctx, Gate gate, const mx::array& x) {
  CHECK(ctx.backend != Backend::kCpu, "gated_linear() has it there");
  if (ctx.backend == Backend::kStock) return gated_activation_ref(ctx, gate, x);
  return cuda::gated_activation(x, gate == Gate::kGeluTanh);
}

}  // namespace pippin::nn
