// Backend: what computes a model's operations on a device. Chosen once, when a model is loaded; it
// prepares the weights, keeps the keys and values, and computes. Nothing above it asks which one it
// is. A new one is a folder under nn/ and a row in make_backend().
// Owner: the runner. Thread: the device thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/kv_plan.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "mlx/array.h"
#include "nn/backend/attention_spec.h"
#include "nn/backend/device.h"
#include "nn/backend/expert_weights.h"
#include "nn/backend/kv_cache.h"
#include "nn/backend/latent_spec.h"
#include "nn/backend/recurrent_spec.h"
#include "nn/backend/step_batch.h"
#include "nn/backend/weight.h"
#include "nn/types/gate.h"
#include "nn/types/xielu.h"
#include "store/tensor.h"

namespace pippin::nn {

/// Token ids that the device sampled, not read back yet.
class SampledIds {
 public:
  virtual ~SampledIds() = default;
  /// Shapes: [R] int32, on the device.
  const mx::array& tokens() const { return tokens_; }
  /// Waits for them. They live as long as this does.
  virtual const int32_t* read() = 0;

 protected:
  explicit SampledIds(mx::array tokens) : tokens_(std::move(tokens)) {}
  mx::array tokens_;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Weights, keys and values: made once.

  /// Makes one weight of parts that follow each other along N, each [n, columns]. Errors:
  /// kUnsupported, of a type that it has no form for; kInvalidFile.
  virtual Result<std::shared_ptr<PreparedWeight>> prepare(
      std::span<const store::TensorView* const> parts, int columns, Stacking stacking) = 0;
  /// Makes a weight of each of `count` experts, as prepare() does. Errors: as prepare().
  virtual Result<std::shared_ptr<PreparedWeight>> prepare_experts(
      std::span<const ExpertTensors> parts, int count, int columns, Stacking stacking) = 0;
  /// Tells in what order a step uses weights; the last one is followed by the first.
  virtual void set_order(std::span<const LinearWeight* const> /*weights*/) {}
  /// Reserves the blocks of a plan. Errors: kOutOfMemory; kUnsupported, of a type that it has no
  /// form for.
  virtual Result<std::unique_ptr<KvCache>> make_kv_cache(const std::vector<KvGeometry>& layers,
                                                         KvPlan plan, KvType type) = 0;

  // Around a model's step.

  /// Brings a step to the device, where it may be padded: what is padded reads and writes the last
  /// block of each group of `plan` only.
  virtual void prepare_step(StepBatch& /*batch*/, const KvPlan& /*plan*/) {}
  /// Says whether the device can sample, and be given a next step before the ids are known.
  virtual bool samples_ids() const { return false; }
  /// Starts to sample each row's largest logit. Shapes: [R, V]. Requires: samples_ids().
  virtual std::unique_ptr<SampledIds> greedy_sample(const mx::array& logits);
  /// Threads of the host that are free between operations; null without any.
  virtual ThreadPool* host_threads() { return nullptr; }

  // Operations: nn/ops has a header for each kind, with the contract and the shapes.

  virtual mx::array linear(const LinearWeight& weight, const mx::array& x) = 0;
  virtual mx::array embed(const LinearWeight& table, const StepBatch& batch, float scale) = 0;
  virtual mx::array gather(const mx::array& x, const std::vector<int32_t>& rows) = 0;
  virtual mx::array soft_cap(const mx::array& x, float cap) = 0;
  virtual mx::array scale(const mx::array& x, float factor) = 0;
  virtual mx::array scale_rows(const mx::array& x, const std::vector<float>& factors) = 0;
  virtual mx::array columns(const mx::array& x, int first, int count) = 0;
  virtual mx::array norm(const NormWeight& weight, const mx::array& x) = 0;
  virtual mx::array add_norm(const NormWeight& weight, mx::array& x, const mx::array& delta) = 0;
  virtual mx::array norm_columns(const NormWeight& weight, const mx::array& x, int first) = 0;
  virtual mx::array add(const mx::array& x, const mx::array& delta) = 0;
  virtual mx::array mix_streams(const mx::array& x, int streams, const mx::array& weights) = 0;
  virtual mx::array match_magnitude(const mx::array& x, const mx::array& like) = 0;
  virtual mx::array above_mean(const mx::array& x, float deviations) = 0;
  virtual mx::array scale_columns(const mx::array& x, const FloatVector& factors) = 0;
  virtual mx::array xielu(const Xielu& curve, const mx::array& x) = 0;
  virtual mx::array gate(Gate gate, const mx::array& by, const mx::array& x) = 0;
  virtual mx::array plain_feed_forward(Gate activation, const LinearWeight& up,
                                       const LinearWeight& down, const mx::array& x) = 0;
  virtual mx::array feed_forward(Gate gate, const LinearWeight& gate_up, const LinearWeight& down,
                                 const mx::array& x) = 0;
  virtual mx::array moe(const MoeWeights& weights, const mx::array& x,
                        const mx::array& routed_by) = 0;
  virtual mx::array qkv_rope_kv_write(const AttentionSpec& spec, const mx::array& qkv,
                                      const StepBatch& batch, KvLayerStore& kv) = 0;
  virtual mx::array paged_attention(const AttentionSpec& spec, const mx::array& q,
                                    const StepBatch& batch, KvLayerStore& kv) = 0;
  virtual std::optional<mx::array> select_positions(const IndexSpec& spec, const mx::array& q,
                                                    const mx::array& k, const mx::array& weights,
                                                    const StepBatch& batch,
                                                    KvLayerStore& store) = 0;
  virtual mx::array latent_attention(const LatentSpec& spec, const mx::array& q,
                                     const mx::array& kv, const std::optional<mx::array>& selected,
                                     const StepBatch& batch, KvLayerStore& store) = 0;
  virtual mx::array causal_conv(const ConvSpec& spec, const Columns& x, const StepBatch& batch,
                                KvLayerStore& state) = 0;
  virtual mx::array gated_delta_rule(const DeltaRuleSpec& spec, const mx::array& qkv,
                                     const Columns& ab, const StepBatch& batch,
                                     KvLayerStore& state) = 0;
  virtual mx::array ssd_scan(const SsdSpec& spec, const mx::array& xbc, const Columns& dt,
                             const StepBatch& batch, KvLayerStore& state) = 0;
  virtual mx::array mamba_scan(const MambaSpec& spec, const mx::array& x, const mx::array& dt,
                               const mx::array& bc, const StepBatch& batch,
                               KvLayerStore& state) = 0;
  virtual mx::array gated_norm(const GatedNormSpec& spec, const mx::array& x,
                               const Columns& gate) = 0;
};

struct BackendOptions {
  BackendKind kind = BackendKind::kCpu;
  int threads = 0;                 // of the CPU's; 0 = all that this process may use
  bool exact_activations = false;  // the CPU's products take f32 activations instead of int8
  bool on_gpu = false;             // kReference
  WeightForm weights = WeightForm::kDense;  // of all but kCpu, which keeps the file's types
};

/// Returns a backend, whose device becomes MLX's default device. Errors: kUnsupported, where this
/// build or this machine does not have it.
Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options);

}  // namespace pippin::nn
