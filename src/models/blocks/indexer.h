// Indexer: chooses the positions that a layer's attention covers for each token, by a few light
// heads (DeepSeek's sparse attention). Owner: LatentBlock. Thread: the device thread.
#pragma once

#include <optional>
#include <vector>

#include "models/blocks/block.h"
#include "models/blocks/rope.h"

namespace pippin::models {

class Indexer {
 public:
  /// Errors: kUnsupported, kInvalidFile, naming what of the configuration it cannot do.
  static Result<void> check(const store::ModelConfig& config, const DecoderOptions& options);
  /// `rope`: of the layer.
  static Result<Indexer> load(const LayerSource& source, nn::Backend& backend, const Rope& rope);

  /// Keeps the tokens' keys and chooses, as nn::select_positions() does. Shapes: x [T, E], as the
  /// layer takes it; queries [T, R], compressed and normed.
  std::optional<mx::array> select(const mx::array& x, const mx::array& queries,
                                  const nn::StepBatch& batch, nn::KvLayerStore& store);
  void add_products(ProductOrder& order) const {
    order.insert(order.end(), {&query_, &key_, &weights_});
  }

 private:
  explicit Indexer(nn::Backend& backend) : backend_(&backend) {}

  nn::Backend* backend_;
  nn::IndexSpec spec_;
  nn::LinearWeight query_, key_, weights_;  // [H D, R], [D, E], [H, E]
  nn::NormWeight key_norm_;
};

}  // namespace pippin::models
