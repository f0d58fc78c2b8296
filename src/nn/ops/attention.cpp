#include "nn/ops/attention.h"

#include "nn/cuda/kernels.h"

namespace pippin::nn {
namespace {

cuda::AttentionShape cuda_shape(const AttentionSpec& spec) {
  return {.heads = spec.heads,
          .kv_heads = spec.kv_heads,
          .head_dim = spec.head_dim,
          .scale = spec.scale,
          .soft_cap = spec.soft_cap,
          .norm_eps = spec.norm_eps,
          .window = spec.window,
          .rope_dims = spec.rope_dims,
          .rope_interleaved = spec.rope_interleaved};
}

bool runs_on_cuda(const Context& ctx, const AttentionSpec& spec) {
  return ctx.backend == Backend::kCuda && cuda::attention_supported(cuda_shape(spec));
}

}  // namespace

mx::array qkv_rope_kv_write(const Context& ctx, const AttentionSpec& spec, const mx::array& qkv,
                            const StepBatch& batch, KvLayerStore& kv) {
  CHECK(qkv.shape(1) == (spec.heads + 2 * spec.kv_heads) * spec.head_dim,
        "qkv must be [T, (H + 2 K) D]");
  if (runs_on_cuda(ctx, spec)) {
    const bool normed = !spec.q_norm.empty();
    return cuda::rope_kv_write(cuda_shape(spec), qkv, *batch.kv_of(kv).device,
                               spec.inv_freq.array(), normed ? &spec.q_norm.array() : nullptr,
                               normed ? &spec.k_norm.array() : nullptr, *kv.k, *kv.v);
  }
  if (ctx.backend != Backend::kCpu) return qkv_rope_kv_write_ref(ctx, spec, qkv, batch, kv);
  const mx::array input = host_ready(qkv);
  mx::array q = allocate(ctx, {input.shape(0), spec.heads * spec.head_dim}, mx::float32);
  cpu::QkvArgs args{};
  args.qkv = input.data<float>();
  args.tokens = batch.size();
  args.heads = spec.heads;
  args.positions = batch.positions.data();
  args.slots = batch.kv_of(kv).slots.data();
  args.q_norm = spec.q_norm.data();
  args.k_norm = spec.k_norm.data();
  args.norm_eps = spec.norm_eps;
  args.rope = {spec.rope_interleaved, spec.rope_dims, spec.inv_freq.data()};
  args.q_out = q.data<float>();
  cpu::rope_kv_write(args, kv.cpu, *ctx.pool);
  return q;
}

mx::array paged_attention(const Context& ctx, const AttentionSpec& spec, const mx::array& q,
                          const StepBatch& batch, KvLayerStore& kv) {
  if (runs_on_cuda(ctx, spec))
    return cuda::paged_attention(cuda_shape(spec), q, *batch.kv_of(kv).device, *kv.k, *kv.v);
  if (ctx.backend != Backend::kCpu) return paged_attention_ref(ctx, spec, q, batch, kv);
  const mx::array input = host_ready(q);
  mx::array out = allocate(ctx, input.shape(), mx::float32);
  cpu::AttentionArgs args{};
  args.q = input.data<float>();
  args.heads = spec.heads;
  args.scale = spec.scale;
  args.rows = batch.kv_of(kv).rows;
  args.window = spec.window;
  args.soft_cap = spec.soft_cap;
  args.sinks = nullptr;
  args.out = out.data<float>();
  cpu::paged_attention(args, kv.cpu, *ctx.pool);
  return out;
}

}  // namespace pippin::nn
