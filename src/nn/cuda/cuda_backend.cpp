#include "nn/cuda/cuda_backend.h"

#include <utility>

#include "mlx/fast.h"
#include "mlx/ops.h"
#include "mlx/transforms.h"
#include "nn/cuda/step.h"

namespace pippin::nn {
namespace {

cuda::AttentionShape shape_of(const AttentionSpec& spec) {
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

// What our kernels leave to the reference.
bool attention_supported(const AttentionSpec& spec) {
  return cuda::attention_supported(shape_of(spec)) && spec.rope_magnitude == 1 &&
         !spec.norm_after_rope && spec.sinks.empty() && spec.chunk == 0 && !spec.queries_only;
}

const cuda::StepArrays& arrays_of(const StepBatch& batch, const KvLayerStore& kv) {
  return static_cast<const CudaTables&>(*batch.kv_of(kv).device).arrays;
}

class PinnedSampledIds final : public SampledIds {
 public:
  PinnedSampledIds(const mx::array& tokens, cuda::Transfer& transfer)
      : SampledIds(tokens), read_back_(transfer.to_host(tokens)) {
    mx::async_eval({read_back_.sent()});
  }
  const int32_t* read() override { return read_back_.read(); }

 private:
  cuda::PendingRead read_back_;
};

}  // namespace

CudaBackend::CudaBackend(WeightForm form) : ReferenceBackend(mx::bfloat16, form) {}

void CudaBackend::prepare_step(StepBatch& batch, const KvPlan& plan) {
  cuda::send_to_device(batch, plan, transfer_);
}

std::unique_ptr<SampledIds> CudaBackend::greedy_sample(const mx::array& logits) {
  return std::make_unique<PinnedSampledIds>(mx::astype(mx::argmax(logits, -1), mx::int32),
                                            transfer_);
}

mx::array CudaBackend::linear(const LinearWeight& weight, const mx::array& x) {
  const DenseWeight* own = matrix_of(weight).dense();
  if (own == nullptr || !cuda::gemv_supported(x, own->values))
    return ReferenceBackend::linear(weight, x);
  const mx::array y = cuda::gemv(x, own->values);
  return weight.bias.empty() ? y : mx::add(y, weight.bias.array(dtype_));
}

mx::array CudaBackend::gather(const mx::array& x, const std::vector<int32_t>& rows) {
  return mx::take(x, transfer_.to_device(rows), 0);
}

mx::array CudaBackend::norm(const NormWeight& weight, const mx::array& x) {
  if (weight.centred) return ReferenceBackend::norm(weight, x);
  return mx::fast::rms_norm(x, weight.values.array(dtype_), weight.eps);
}

mx::array CudaBackend::add_norm(const NormWeight& weight, mx::array& x, const mx::array& delta) {
  if (weight.centred || !cuda::add_rms_norm_supported(x)) {
    x = mx::add(x, delta);
    return norm(weight, x);
  }
  auto [stream, normed] = cuda::add_rms_norm(x, delta, weight.values.array(), weight.eps);
  x = std::move(stream);
  return std::move(normed);
}

mx::array CudaBackend::qkv_rope_kv_write(const AttentionSpec& spec, const mx::array& qkv,
                                         const StepBatch& batch, KvLayerStore& kv) {
  const cuda::AttentionShape shape = shape_of(spec);
  if (!attention_supported(spec)) return ReferenceBackend::qkv_rope_kv_write(spec, qkv, batch, kv);
  const auto& own = static_cast<const DenseKv&>(kv);
  const bool normed = !spec.q_norm.empty();
  return cuda::rope_kv_write(shape, qkv, arrays_of(batch, kv), spec.inv_freq.array(),
                             normed ? &spec.q_norm.array() : nullptr,
                             normed ? &spec.k_norm.array() : nullptr, own.k, own.v);
}

mx::array CudaBackend::paged_attention(const AttentionSpec& spec, const mx::array& q,
                                       const StepBatch& batch, KvLayerStore& kv) {
  const cuda::AttentionShape shape = shape_of(spec);
  if (!attention_supported(spec)) return ReferenceBackend::paged_attention(spec, q, batch, kv);
  const auto& own = static_cast<const DenseKv&>(kv);
  return cuda::paged_attention(shape, q, arrays_of(batch, kv), own.k, own.v);
}

mx::array CudaBackend::gated_activation(Gate gate, const mx::array& x) {
  if (gate != Gate::kSilu && gate != Gate::kGeluTanh)
    return ReferenceBackend::gated_activation(gate, x);
  return cuda::gated_activation(x, gate == Gate::kGeluTanh);
}

}  // namespace pippin::nn
