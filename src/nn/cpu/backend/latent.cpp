// CpuBackend: attention over compressed keys and values, and which of them it covers.
#include "nn/cpu/latent.h"

#include "nn/cpu/backend/cpu_backend.h"
#include "nn/cpu/kernels.h"

namespace pippin::nn {

std::optional<mx::array> CpuBackend::select_positions(const IndexSpec& spec, const mx::array& q,
                                                      const mx::array& k, const mx::array& weights,
                                                      const StepBatch& batch, KvLayerStore& store) {
  const mx::array queries = host_ready(q), keys = host_ready(k), shares = host_ready(weights);
  const AttentionMetadata& tables = batch.kv_of(store);
  const auto& kept_in = static_cast<CpuLatent&>(store);
  const cpu::IndexArgs args{
      .q = queries.data<float>(),
      .k = keys.data<float>(),
      .weights = shares.data<float>(),
      .heads = spec.heads,
      .dim = spec.dim,
      .top = spec.top,
      .rope = {spec.rope_interleaved, spec.rope, spec.inv_freq.data(), spec.rope_magnitude},
      .positions = batch.positions.data(),
      .slots = tables.slots.data(),
      .rows = tables.rows,
      .cache = kept_in.blocks + kept_in.row_values(),
      .block_values = kept_in.block_values()};
  std::optional<mx::array> out;
  if (cpu::needs_selection(args)) {
    const size_t bytes =
        sizeof(int32_t) * static_cast<size_t>(q.shape(0)) * static_cast<size_t>(spec.top);
    out = mx::array(buffers_->take(bytes), mx::Shape{q.shape(0), spec.top}, mx::int32);
  }
  cpu::select_positions(cpu::kernels(isa_), args, threads_, out ? out->data<int32_t>() : nullptr);
  return out;
}

mx::array CpuBackend::latent_attention(const LatentSpec& spec, const mx::array& q,
                                       const mx::array& kv,
                                       const std::optional<mx::array>& selected,
                                       const StepBatch& batch, KvLayerStore& store) {
  const mx::array queries = host_ready(q), kept = host_ready(kv);
  mx::array out = allocate({q.shape(0), spec.heads * spec.value});
  const AttentionMetadata& tables = batch.kv_of(store);
  const auto& kept_in = static_cast<CpuLatent&>(store);
  cpu::LatentArgs args{
      .q = queries.data<float>(),
      .kv = kept.data<float>(),
      .heads = spec.heads,
      .rank = spec.rank,
      .plain = spec.plain,
      .value = spec.value,
      .scale = spec.scale,
      .rope = {spec.rope_interleaved, spec.rope, spec.inv_freq.data(), spec.rope_magnitude},
      .key_up = spec.key_up.data(),
      .value_up = spec.value_up.data(),
      .positions = batch.positions.data(),
      .slots = tables.slots.data(),
      .rows = tables.rows,
      .cache = kept_in.blocks,
      .block_values = kept_in.block_values(),
      .selected = selected ? selected->data<int32_t>() : nullptr,
      .top = selected ? selected->shape(1) : 0,
      .out = out.data<float>()};
  cpu::latent_attention(cpu::kernels(isa_), args, threads_);
  return out;
}

}  // namespace pippin::nn
