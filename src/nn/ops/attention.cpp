#include "nn/ops/attention.h"

namespace pippin::nn {
namespace {

const float* data_or_null(const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); }

}  // namespace

mx::array qkv_rope_kv_write(const Context& ctx, const AttentionSpec& spec, const mx::array& qkv, const StepBatch& batch, KvLayerStore& kv) {
  CHECK(qkv.shape(1) == (spec.heads + 2 * spec.kv_heads) * spec.head_dim, "qkv must be [T, (H + 2 K) D]");
  if (ctx.backend == Backend::kStock) return qkv_rope_kv_write_ref(ctx, spec, qkv, batch, kv);
  const mx::array input = host_ready(qkv);
  mx::array q = allocate(ctx, {input.shape(0), spec.heads * spec.head_dim}, mx::float32);
  cpu::QkvArgs args{};
  args.qkv = input.data<float>();
  args.tokens = batch.size();
  args.heads = spec.heads;
  args.positions = batch.positions.data();
  args.slots = batch.slots.data();
  args.q_norm = data_or_null(spec.q_norm);
  args.k_norm = data_or_null(spec.k_norm);
  args.norm_eps = spec.norm_eps;
  args.rope = {spec.rope_interleaved, spec.rope_dims, data_or_null(spec.inv_freq)};
  args.q_out = q.data<float>();
  cpu::rope_kv_write(args, kv.cpu, *ctx.pool);
  return q;
}

mx::array paged_attention(const Context& ctx, const AttentionSpec& spec, const mx::array& q, const StepBatch& batch, KvLayerStore& kv) {
  if (ctx.backend == Backend::kStock) return paged_attention_ref(ctx, spec, q, batch, kv);
  const mx::array input = host_ready(q);
  mx::array out = allocate(ctx, input.shape(), mx::float32);
  cpu::AttentionArgs args{};
  args.q = input.data<float>();
  args.heads = spec.heads;
  args.scale = spec.scale;
  args.rows = batch.rows;
  args.window = spec.window;
  args.soft_cap = spec.soft_cap;
  args.sinks = nullptr;
  args.out = out.data<float>();
  cpu::paged_attention(args, kv.cpu, *ctx.pool);
  return out;
}

}  // namespace pippin::nn
