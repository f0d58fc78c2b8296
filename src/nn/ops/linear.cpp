#include "nn/ops/linear.h"

#include <cmath>
#include <cstring>

#include "mlx/ops.h"
#include "nn/cuda/kernels.h"
#include "nn/cuda/transfer.h"

namespace pippin::nn {

mx::array linear(const Context& ctx, const LinearWeight& weight, const mx::array& x) {
  CHECK(x.ndim() == 2 && x.shape(1) == weight.columns, "linear: x must be [T, K]");
  if (ctx.backend == Backend::kCuda && cuda::matvec_supported(x, *weight.dense)) {
    const mx::array y = cuda::matvec(x, *weight.dense);
    return weight.bias.empty() ? y : mx::add(y, weight.bias.array(ctx.dtype));
  }
  if (ctx.backend != Backend::kCpu) return linear_ref(ctx, weight, x);
  const mx::array input = host_ready(x);
  mx::array y = allocate(ctx, {input.shape(0), weight.rows}, mx::float32);
  cpu::linear(*weight.packed, input.data<float>(), input.shape(0), weight.bias.data(),
              y.data<float>(), *ctx.scratch, *ctx.pool, ctx.activations, weight.next.get());
  return y;
}

mx::array embed(const Context& ctx, const LinearWeight& table, const StepBatch& batch,
                float scale) {
  if (ctx.backend != Backend::kCpu) return embed_ref(ctx, table, batch, scale);
  const std::vector<int32_t>& tokens = batch.tokens;
  mx::array y = allocate(ctx, {static_cast<int>(tokens.size()), table.columns}, mx::float32);
  float* out = y.data<float>();
  for (size_t t = 0; t < tokens.size(); ++t) {
    float* row = out + t * static_cast<size_t>(table.columns);
    table.packed->row(tokens[t], row);
    if (scale != 1.0f) {
      for (int i = 0; i < table.columns; ++i) row[i] *= scale;
    }
  }
  return y;
}

namespace {

bool is_identity(const std::vector<int32_t>& rows, int count) {
  if (static_cast<int>(rows.size()) != count) return false;
  for (int i = 0; i < count; ++i) {
    if (rows[static_cast<size_t>(i)] != i) return false;
  }
  return true;
}

}  // namespace

mx::array take_rows(const Context& ctx, const mx::array& x, const std::vector<int32_t>& rows) {
  if (is_identity(rows, x.shape(0))) return x;
  if (ctx.backend == Backend::kCuda) return mx::take(x, ctx.transfer->to_device(rows), 0);
  if (ctx.backend != Backend::kCpu) return take_rows_ref(x, rows);
  const mx::array input = host_ready(x);
  const auto width = static_cast<size_t>(input.shape(1));
  mx::array y = allocate(ctx, {static_cast<int>(rows.size()), input.shape(1)}, mx::float32);
  for (size_t r = 0; r < rows.size(); ++r) {
    std::memcpy(y.data<float>() + r * width,
                input.data<float>() + static_cast<size_t>(rows[r]) * width, width * sizeof(float));
  }
  return y;
}

mx::array soft_cap(const Context& ctx, const mx::array& x, float cap) {
  if (ctx.backend != Backend::kCpu) return soft_cap_ref(x, cap);
  const mx::array input = host_ready(x);
  mx::array y = allocate(ctx, input.shape(), mx::float32);
  for (size_t i = 0; i < input.size(); ++i)
    y.data<float>()[i] = cap * std::tanh(input.data<float>()[i] / cap);
  return y;
}

}  // namespace pippin::nn
