// CpuBackend: our CPU kernels, each run at once on evaluated arrays: no graph, no hand-over to
// another thread. Weights are repacked for the machine's instruction set.
// Thread: the device thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "nn/backend/backend.h"
#include "nn/cpu/attention.h"
#include "nn/cpu/backend/buffer_pool.h"
#include "nn/cpu/linear.h"

namespace pippin::nn {

/// A packed weight, and the one that a step uses next: idle threads prefetch it.
struct CpuWeight final : PreparedWeight {
  explicit CpuWeight(cpu::PackedLinear of)
      : packed(std::make_shared<const cpu::PackedLinear>(std::move(of))) {}
  const std::shared_ptr<const cpu::PackedLinear> packed;
  std::shared_ptr<const cpu::PackedLinear> next;  // null where nothing is known
};

/// Packed weights of experts.
struct CpuExperts final : PreparedWeight {
  std::vector<cpu::PackedLinear> packed;
};

/// Keys and values of a layer: a part of the cache's memory.
struct CpuKv final : KvLayerStore {
  CpuKv(const KvGeometry& of, int in_group) : KvLayerStore(of, in_group) {}
  cpu::KvLayer blocks;
};

/// Compressed keys and values of a layer in f16: in each block the rows of all positions, then
/// their index keys.
struct CpuLatent final : KvLayerStore {
  CpuLatent(const KvGeometry& of, int in_group, uint16_t* at)
      : KvLayerStore(of, in_group), blocks(at) {}
  int row_values() const { return kBlockPositions * geometry.latent; }
  int block_values() const { return row_values() + kBlockPositions * geometry.index_key; }
  uint16_t* const blocks;
};

/// States of a layer, one behind the other: the convolution's inputs, then the matrices.
struct CpuState final : KvLayerStore {
  CpuState(const KvGeometry& of, int in_group, float* at) : KvLayerStore(of, in_group), first(at) {}
  float* conv(int state) const { return first + state * geometry.state.values(); }
  float* matrices(int state) const { return conv(state) + geometry.state.conv_values(); }
  float* const first;
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(cpu::Isa isa, int threads, cpu::Activations activations);

  Result<std::shared_ptr<PreparedWeight>> prepare(std::span<const store::TensorView* const> parts,
                                                  int columns, Stacking stacking) override;
  Result<std::shared_ptr<PreparedWeight>> prepare_experts(std::span<const ExpertTensors> parts,
                                                          int count, int columns,
                                                          Stacking stacking) override;
  void set_order(std::span<const LinearWeight* const> weights) override;
  Result<std::unique_ptr<KvCache>> make_kv_cache(const std::vector<KvGeometry>& layers, KvPlan plan,
                                                 KvType type) override;
  ThreadPool* host_threads() override { return &threads_; }

  mx::array linear(const LinearWeight& weight, const mx::array& x) override;
  mx::array embed(const LinearWeight& table, const StepBatch& batch, float scale) override;
  mx::array gather(const mx::array& x, const std::vector<int32_t>& rows) override;
  mx::array soft_cap(const mx::array& x, float cap) override;
  mx::array scale(const mx::array& x, float factor) override;
  mx::array scale_rows(const mx::array& x, const std::vector<float>& factors) override;
  mx::array columns(const mx::array& x, int first, int count) override;
  mx::array norm(const NormWeight& weight, const mx::array& x) override;
  mx::array add_norm(const NormWeight& weight, mx::array& x, const mx::array& delta) override;
  mx::array norm_columns(const NormWeight& weight, const mx::array& x, int first) override;
  mx::array add(const mx::array& x, const mx::array& delta) override;
  mx::array mix_streams(const mx::array& x, int streams, const mx::array& weights) override;
  mx::array match_magnitude(const mx::array& x, const mx::array& like) override;
  mx::array above_mean(const mx::array& x, float deviations) override;
  mx::array scale_columns(const mx::array& x, const FloatVector& factors) override;
  mx::array xielu(const Xielu& curve, const mx::array& x) override;
  mx::array gate(Gate gate, const mx::array& by, const mx::array& x) override;
  mx::array plain_feed_forward(Gate activation, const LinearWeight& up, const LinearWeight& down,
                               const mx::array& x) override;
  mx::array feed_forward(Gate gate, const LinearWeight& gate_up, const LinearWeight& down,
                         const mx::array& x) override;
  mx::array moe(const MoeWeights& weights, const mx::array& x, const mx::array& routed_by) override;
  mx::array qkv_rope_kv_write(const AttentionSpec& spec, const mx::array& qkv,
                              const StepBatch& batch, KvLayerStore& kv) override;
  mx::array paged_attention(const AttentionSpec& spec, const mx::array& q, const StepBatch& batch,
                            KvLayerStore& kv) override;
  std::optional<mx::array> select_positions(const IndexSpec& spec, const mx::array& q,
                                            const mx::array& k, const mx::array& weights,
                                            const StepBatch& batch, KvLayerStore& store) override;
  mx::array latent_attention(const LatentSpec& spec, const mx::array& q, const mx::array& kv,
                             const std::optional<mx::array>& selected, const StepBatch& batch,
                             KvLayerStore& store) override;
  mx::array causal_conv(const ConvSpec& spec, const Columns& x, const StepBatch& batch,
                        KvLayerStore& state) override;
  mx::array gated_delta_rule(const DeltaRuleSpec& spec, const mx::array& qkv, const Columns& ab,
                             const StepBatch& batch, KvLayerStore& state) override;
  mx::array ssd_scan(const SsdSpec& spec, const mx::array& xbc, const Columns& dt,
                     const StepBatch& batch, KvLayerStore& state) override;
  mx::array mamba_scan(const MambaSpec& spec, const mx::array& x, const mx::array& dt,
                       const mx::array& bc, const StepBatch& batch, KvLayerStore& state) override;
  mx::array gated_norm(const GatedNormSpec& spec, const mx::array& x, const Columns& gate) override;

 private:
  mx::array allocate(mx::Shape shape);
  mx::array norm_stream(const NormWeight& weight, mx::array& x, const mx::array* delta);
  mx::array layer_norm(const NormWeight& weight, mx::array& x, const mx::array* delta);

  const cpu::Isa isa_;
  const cpu::Activations activations_;
  ThreadPool threads_;
  cpu::LinearScratch scratch_;
  cpu::WeightArena arena_;
  const std::shared_ptr<BufferPool> buffers_ = std::make_shared<BufferPool>();
};

}  // namespace pippin::nn
