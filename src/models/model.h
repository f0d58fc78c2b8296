// Model: a text model as the runner sees it. One file under models/ per structure, one row in
// registry.cpp per family. Owner: the runner. Thread: the device thread.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/kv_plan.h"
#include "base/model_inputs.h"
#include "base/result.h"
#include "nn/backend/backend.h"
#include "nn/backend/kv_cache.h"
#include "nn/backend/step_batch.h"
#include "store/checkpoint.h"
#include "store/model_config.h"

namespace pippin::models {

/// What the engine and the memory plan need to know.
struct ModelSpec {
  std::string architecture;
  int vocab = 0;
  int context_tokens_max = 0;  // what the model was made for
  ModelInputs inputs;          // what it takes besides token ids
  /// What is kept of a sequence: an entry for each mixer that keeps something, in the order of the
  /// layers.
  std::vector<nn::KvGeometry> layers;
  /// Returns the KV groups: one for each kind that occurs. The widest window is the group's.
  std::vector<KvGroupSpec> kv_groups(nn::KvType type) const;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelSpec& spec() const = 0;
  /// Runs all layers over a step. Shapes: [T] tokens -> [R, E], the rows that batch.logit_tokens
  /// names, before the final norm. Without any, what comes back is for evaluating only: then all
  /// keys and values of the step are written.
  virtual mlx::core::array forward(const nn::StepBatch& batch, nn::KvCache& kv) = 0;
  /// The final norm alone, of which embeddings are made. Shapes: hidden [R, E] -> [R, E] f32.
  virtual mlx::core::array final_norm(const mlx::core::array& hidden) = 0;
  /// Shapes: hidden [R, E] -> logits [R, V] f32.
  virtual mlx::core::array logits(const mlx::core::array& hidden) = 0;
};

/// Called with bytes done and all bytes while weights are read.
using LoadProgress = std::function<void(uint64_t done, uint64_t total)>;

/// Returns the spec of a model without loading its weights. Errors: kUnsupported, naming the
/// architecture and those known, or what of the configuration no model here can follow.
Result<ModelSpec> make_spec(const store::ModelConfig& config);

/// Loads a model. Errors: of the configuration, as make_spec(); kInvalidFile naming a tensor that
/// is missing or of a wrong shape; kUnsupported naming one that no part of the model reads.
Result<std::unique_ptr<Model>> load_model(const store::Checkpoint& checkpoint, nn::Backend& backend,
                                          const LoadProgress& progress);

}  // namespace pippin::models
