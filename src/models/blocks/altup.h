// Alternating updates (Gemma 3n): several residual streams, of which each layer computes one and
// predicts the others. AltUpEnds makes and joins the streams; AltUpLayer is a layer's part.
// Thread: the device thread.
#pragma once

#include <memory>
#include <vector>

#include "models/blocks/block.h"

namespace pippin::models {

class AltUpEnds {
 public:
  static Result<std::unique_ptr<AltUpEnds>> load(WeightLoader& weights,
                                                 const store::ModelConfig& config,
                                                 nn::Backend& backend);
  /// Makes the streams of the embeddings. Shapes: [T, E] -> [T, n E].
  mx::array spread(const mx::array& embedded);
  /// Joins the streams. Shapes: [R, n E] -> [R, E].
  mx::array join(const mx::array& streams);
  void add_products(ProductOrder& order) const;

 private:
  explicit AltUpEnds(nn::Backend& backend) : backend_(backend) {}

  nn::Backend& backend_;
  std::vector<nn::LinearWeight> spread_, join_;  // of all streams but the first
};

class AltUpLayer {
 public:
  static Result<std::unique_ptr<AltUpLayer>> load(const LayerSource& source, nn::Backend& backend);
  /// Predicts what the streams are behind the layer. Shapes: [T, n E] -> [T, n E].
  mx::array predict(const mx::array& streams);
  /// Returns the stream that the layer computes. Shapes: [T, n E] -> [T, E].
  mx::array active(const mx::array& streams);
  /// A learned residual: x + norm(right(left(x))). Shapes: [T, E] -> [T, E].
  mx::array laurel(const mx::array& x);
  /// Corrects predictions by what the layer has computed. Shapes: [R, n E], [R, E] -> [R, n E].
  mx::array correct(const mx::array& predictions, const mx::array& computed);
  /// The active stream, as the layer's input meets it. Shapes: [R, n E] -> [R, E].
  mx::array scaled(const mx::array& streams);
  /// Adds to all streams but the first. Shapes: [R, n E], [R, E] -> [R, n E].
  mx::array add_to_others(const mx::array& streams, const mx::array& given);
  void add_products(ProductOrder& order) const;

 private:
  explicit AltUpLayer(nn::Backend& backend) : backend_(backend) {}
  Result<void> load_streams(const LayerSource& source);
  mx::array modalities(const mx::array& x);

  nn::Backend& backend_;
  int width_ = 0, count_ = 0, active_ = 0;  // E, n
  nn::NormWeight router_norm_, laurel_norm_;
  nn::LinearWeight router_, predict_, correct_, left_, right_;
  nn::FloatVector scale_;  // [E], or empty
};

}  // namespace pippin::models
