#include "nn/ops/gated.h"

#include "nn/cuda/kernels.h"

namespace pippin::nn {

mx::array feed_forward(const Context& ctx, Gate gate, const LinearWeight& gate_up,
                       const LinearWeight& down, const mx::array& x) {
  if (ctx.backend != Backend::kCpu)
    return linear(ctx, down, gated_activation(ctx, gate, linear(ctx, gate_up, x)));
  CHECK(x.ndim() == 2 && x.shape(1) == gate_up.columns, "feed_forward: x must be [T, K]");
  const mx::array input = host_ready(x);
  mx::array y = allocate(ctx, {input.shape(0), down.rows}, mx::float32);
  cpu::feed_forward(*gate_up.packed, *down.packed, input.data<float>(), input.shape(0),
                    gate_up.bias.data(), down.bias.data(), gate, y.data<float>(), *ctx.scratch,
                    *ctx.pool, ctx.activations, down.next.get());
  return y;
}

mx::array gated_activation(const Context& ctx, Gate gate, const mx::array& x) {
  CHECK(ctx.backend != Backend::kCpu, "feed_forward() has it there");
  if (ctx.backend == Backend::kStock) return gated_activation_ref(ctx, gate, x);
  return cuda::gated_activation(x, gate == Gate::kGeluTanh);
}

}  // namespace pippin::nn
