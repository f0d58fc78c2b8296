// LatentBlock: attention over compressed keys and values (MLA: DeepSeek 2 and 3, Kimi K2,
// Mistral 4), of all positions or of those that an indexer chooses. Thread: the device thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "models/blocks/block.h"
#include "models/blocks/indexer.h"
#include "models/blocks/query_scale.h"
#include "nn/backend/latent_spec.h"

namespace pippin::models {

class LatentBlock final : public Mixer {
 public:
  /// Returns what a layer keeps of each position: its compressed values and the shared key, and an
  /// index key where it has an indexer.
  static nn::KvGeometry geometry(const store::ModelConfig& config, int layer);
  /// Errors: kUnsupported, naming what of the configuration this block cannot do.
  static Result<void> check(const store::ModelConfig& config, const DecoderOptions& options);
  static Result<std::unique_ptr<Mixer>> load(const LayerSource& source, nn::Backend& backend,
                                             const std::vector<float>& rope_divisors);

  mx::array mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) override;
  mx::array project(const mx::array& mixed) override;
  void add_products(ProductOrder& order) const override;

 private:
  explicit LatentBlock(nn::Backend& backend) : backend_(backend) {}
  Result<void> load_queries(const LayerSource& source);
  Result<void> load_up(const LayerSource& source);

  nn::Backend& backend_;
  int store_ = 0;
  nn::LatentSpec spec_;
  QueryScale query_scale_;
  nn::LinearWeight query_down_, query_, kv_down_, output_;  // query_down_: empty without a rank
  nn::NormWeight query_norm_, kv_norm_;
  std::optional<Indexer> indexer_;
  std::shared_ptr<std::optional<mx::array>> selected_;  // nothing in it: all positions are covered
};

}  // namespace pippin::models
