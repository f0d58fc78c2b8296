// ReferenceBackend: MLX operations on any device, one graph for a step. In f32 it is the
// oracle of the other backends; those of GPUs derive from it and replace what is slow.
// Thread: the device thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "mlx/array.h"
#include "mlx/dtype.h"
#include "nn/backend/backend.h"
#include "nn/reference/matrix_weight.h"

namespace pippin::nn {

/// Keys and values of a layer, [P * S, K, D] each.
struct DenseKv final : KvLayerStore {
  DenseKv(const KvGeometry& of, int in_group, mx::array keys, mx::array values)
      : KvLayerStore(of, in_group), k(std::move(keys)), v(std::move(values)) {}
  mx::array k, v;
};

/// States of a layer. conv: [P, positions, channels] f32; matrices: [P, heads, rows, columns] f32.
struct DenseState final : KvLayerStore {
  DenseState(const KvGeometry& of, int in_group, mx::array inputs, mx::array states)
      : KvLayerStore(of, in_group), conv(std::move(inputs)), matrices(std::move(states)) {}
  mx::array conv, matrices;
};

/// Compressed keys and values of a layer, [P * S, latent], and index keys, [P * S, index_key].
struct DenseLatent final : KvLayerStore {
  DenseLatent(const KvGeometry& of, int in_group, mx::array values, mx::array keys)
      : KvLayerStore(of, in_group), rows(std::move(values)), index_keys(std::move(keys)) {}
  mx::array rows, index_keys;
};

class ReferenceBackend : public Backend {
 public:
  /// `dtype`: of activations, dense weights, keys and values.
  explicit ReferenceBackend(mx::Dtype dtype, WeightForm form = WeightForm::kDense)
      : dtype_(dtype), form_(form) {}

  Result<std::shared_ptr<PreparedWeight>> prepare(std::span<const store::TensorView* const> parts,
                                                  int columns, Stacking stacking) override;
  Result<std::shared_ptr<PreparedWeight>> prepare_experts(std::span<const ExpertTensors> parts,
                                                          int count, int columns,
                                                          Stacking stacking) override;
  Result<std::unique_ptr<KvCache>> make_kv_cache(const std::vector<KvGeometry>& layers, KvPlan plan,
                                                 KvType type) override;

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

 protected:
  /// gate(x[:, :F]) * x[:, F:]. Shapes: [T, 2 F] -> [T, F].
  virtual mx::array gated_activation(Gate gate, const mx::array& x);
  mx::array plain_activation(Gate activation, const mx::array& x) const;
  /// Row t of x times the weight of its k-th expert, and that expert's bias. Shapes: x [T, 1 or k,
  /// K], experts [T, k] int -> [T, k, N].
  virtual mx::array expert_linear(const ExpertWeight& weight, const mx::array& x,
                                  const mx::array& experts);
  static const MatrixWeight& matrix_of(const LinearWeight& weight) {
    return static_cast<const MatrixWeight&>(*weight.prepared);
  }

  const mx::Dtype dtype_;
  const WeightForm form_;

 private:
  std::optional<AffineMatrix> quantised(const store::TensorView& tensor, int columns) const;
  std::vector<AffineMatrix> quantised(const ExpertTensors& part, int count, int columns) const;
};

}  // namespace pippin::nn
