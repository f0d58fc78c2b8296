// CpuBackend: attention over compressed keys and values.
#include "nn/cpu/latent.h"

#include "nn/cpu/backend/cpu_backend.h"
#include "nn/cpu/kernels.h"

namespace pippin::nn {

mx::array CpuBackend::latent_attention(const LatentSpec& spec, const mx::array& q,
                                       const mx::array& kv, const StepBatch& batch,
                                       KvLayerStore& store) {
  const mx::array queries = host_ready(q), kept = host_ready(kv);
  mx::array out = allocate({q.shape(0), spec.heads * spec.value});
  const AttentionMetadata& tables = batch.kv_of(store);
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
      .cache = static_cast<CpuLatent&>(store).rows,
      .out = out.data<float>()};
  cpu::latent_attention(cpu::kernels(isa_), args, threads_);
  return out;
}

}  // namespace pippin::nn
