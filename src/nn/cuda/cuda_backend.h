// CudaBackend: graphs of MLX operations in bf16, with our kernels where MLX's are slow or many.
// Thread: the device thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "nn/cuda/kernels.h"
#include "nn/cuda/transfer.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {

/// A step's tables on the device.
struct CudaTables final : DeviceTables {
  explicit CudaTables(cuda::StepArrays of) : arrays(std::move(of)) {}
  cuda::StepArrays arrays;
};

class CudaBackend final : public ReferenceBackend {
 public:
  explicit CudaBackend(WeightForm form);

  void prepare_step(StepBatch& batch, const KvPlan& plan) override;
  bool samples_ids() const override { return true; }
  std::unique_ptr<SampledIds> greedy_sample(const mx::array& logits) override;

  mx::array linear(const LinearWeight& weight, const mx::array& x) override;
  mx::array gather(const mx::array& x, const std::vector<int32_t>& rows) override;
  mx::array norm(const NormWeight& weight, const mx::array& x) override;
  mx::array add_norm(const NormWeight& weight, mx::array& x, const mx::array& delta) override;
  mx::array qkv_rope_kv_write(const AttentionSpec& spec, const mx::array& qkv,
                              const StepBatch& batch, KvLayerStore& kv) override;
  mx::array paged_attention(const AttentionSpec& spec, const mx::array& q, const StepBatch& batch,
                            KvLayerStore& kv) override;
  mx::array gated_activation(Gate gate, const mx::array& x) override;

 private:
  cuda::Transfer transfer_;
};

}  // namespace pippin::nn
