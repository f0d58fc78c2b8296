// Blocks: what the layers of a decoder are put together from. A mixer sees sequences (attention, a
// recurrence); a feed-forward layer sees each token alone. One file per kind, which loads its
// weights and computes. Owner: the decoder. Thread: the device thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mlx/array.h"
#include "models/families/family.h"
#include "models/weights.h"
#include "nn/backend/backend.h"
#include "store/model_config.h"

namespace pippin::models {

namespace mx = mlx::core;

/// A layer of a checkpoint, as blocks are loaded from it.
struct LayerSource {
  WeightLoader& weights;
  const store::ModelConfig& config;
  const DecoderOptions& options;
  int layer = 0;
  int store = 0;  // the mixer's entry in ModelSpec::layers, if it keeps anything
  /// What the last indexer that ran chose: layers without one take it over.
  std::shared_ptr<std::optional<mx::array>> selected = {};

  /// Returns the name of a part's tensors: "blk.3.attn_q".
  std::string name(std::string_view part) const;
  bool has(std::string_view part) const { return weights.has(name(part) + ".weight"); }
  /// Reads how fast a recurrence forgets, "<layer>.ssm_a": -exp(A_log), which GGUF files have
  /// computed.
  Result<std::vector<float>> decay(int count) const;
  size_t index() const { return static_cast<size_t>(layer); }
};

/// Weights in the order in which a step uses them.
using ProductOrder = std::vector<const nn::LinearWeight*>;

class Mixer {
 public:
  virtual ~Mixer() = default;
  /// Mixes the tokens of each sequence, and writes what later tokens need. Shapes: [T, E] ->
  /// [T, X].
  virtual mx::array mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) = 0;
  /// The output projection, of those rows that are wanted. Shapes: [R, X] -> [R, E].
  virtual mx::array project(const mx::array& mixed) = 0;
  virtual void add_products(ProductOrder& order) const = 0;
};

class FeedForward {
 public:
  virtual ~FeedForward() = default;
  /// Shapes: [R, E] -> [R, E].
  virtual mx::array run(const mx::array& x) = 0;
  virtual void add_products(ProductOrder& order) const = 0;
};

}  // namespace pippin::models
