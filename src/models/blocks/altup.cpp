#include "models/blocks/altup.h"

#include <fmt/format.h>

#include <cmath>

#include "mlx/ops.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"
#include "nn/ops/streams.h"

namespace pippin::models {
namespace {

// GGUF files stack them; others have one tensor of each.
Result<std::vector<nn::LinearWeight>> load_projections(WeightLoader& weights,
                                                       const store::ModelConfig& config,
                                                       const std::string& name) {
  const int width = config.embedding_length, count = config.streams.count - 1;
  std::vector<nn::LinearWeight> all;
  for (int i = 0; i < count; ++i) {
    WeightLoader::Part part{fmt::format("{}.{}", name, i), width};
    if (weights.has(name + ".weight")) part = {name, width, i * width, count * width};
    ASSIGN_OR_RETURN(nn::LinearWeight one, weights.linear({part}, width));
    all.push_back(std::move(one));
  }
  return all;
}

// The same factors for each of so many rows.
mx::array same_for(int rows, const std::vector<float>& factors) {
  const int count = static_cast<int>(factors.size());
  const mx::array one(factors.begin(), mx::Shape{1, count});
  return mx::broadcast_to(one, {rows, count});
}

}  // namespace

Result<std::unique_ptr<AltUpEnds>> AltUpEnds::load(WeightLoader& weights,
                                                   const store::ModelConfig& config,
                                                   nn::Backend& backend) {
  std::unique_ptr<AltUpEnds> ends(new AltUpEnds(backend));
  ASSIGN_OR_RETURN(ends->spread_, load_projections(weights, config, "altup_proj"));
  ASSIGN_OR_RETURN(ends->join_, load_projections(weights, config, "altup_unembd_proj"));
  return ends;
}

mx::array AltUpEnds::spread(const mx::array& embedded) {
  const int count = static_cast<int>(spread_.size()) + 1;
  // Stream i is placed by a sum of one stream, whose other weights are zero.
  std::vector<float> place(static_cast<size_t>(count), 0.0f);
  place[0] = 1;
  mx::array streams = nn::mix_streams(backend_, embedded, 1, same_for(embedded.shape(0), place));
  for (size_t i = 0; i < spread_.size(); ++i) {
    const mx::array made =
        nn::match_magnitude(backend_, nn::linear(backend_, spread_[i], embedded), embedded);
    place.assign(place.size(), 0.0f);
    place[i + 1] = 1;
    streams = nn::add(backend_, streams,
                      nn::mix_streams(backend_, made, 1, same_for(made.shape(0), place)));
  }
  return streams;
}

mx::array AltUpEnds::join(const mx::array& streams) {
  const int count = static_cast<int>(join_.size()) + 1, width = streams.shape(1) / count;
  const mx::array first = nn::columns(backend_, streams, 0, width);
  mx::array sum = first;
  for (int i = 1; i < count; ++i) {
    const mx::array one = nn::linear(backend_, join_[static_cast<size_t>(i - 1)],
                                     nn::columns(backend_, streams, i * width, width));
    sum = nn::add(backend_, sum, nn::match_magnitude(backend_, one, first));
  }
  return nn::scale(backend_, sum, 1.0f / static_cast<float>(count));
}

void AltUpEnds::add_products(ProductOrder& order) const {
  for (const nn::LinearWeight& one : spread_) order.push_back(&one);
}

Result<std::unique_ptr<AltUpLayer>> AltUpLayer::load(const LayerSource& source,
                                                     nn::Backend& backend) {
  std::unique_ptr<AltUpLayer> layer(new AltUpLayer(backend));
  layer->width_ = source.config.embedding_length;
  layer->count_ = source.config.streams.count;
  layer->active_ = source.config.streams.active;
  RETURN_IF_ERROR(layer->load_streams(source));
  const int width = layer->width_, rank = source.config.streams.laurel_rank;
  ASSIGN_OR_RETURN(layer->left_, source.weights.linear({{source.name("laurel_l"), rank}}, width));
  ASSIGN_OR_RETURN(layer->right_, source.weights.linear({{source.name("laurel_r"), width}}, rank));
  ASSIGN_OR_RETURN(layer->laurel_norm_, source.weights.norm(source.name("laurel_post_norm.weight"),
                                                            width, source.config.norm_eps));
  return layer;
}

Result<void> AltUpLayer::load_streams(const LayerSource& source) {
  WeightLoader& weights = source.weights;
  const int count = count_;
  ASSIGN_OR_RETURN(router_, weights.linear({{source.name("altup_router"), count}}, width_));
  ASSIGN_OR_RETURN(std::vector<float> norm,
                   weights.vector(source.name("altup_router_norm.weight"), width_));
  for (float& factor : norm) factor /= static_cast<float>(width_);
  router_norm_.eps = source.config.norm_eps;
  router_norm_.values = std::move(norm);
  ASSIGN_OR_RETURN(predict_,
                   weights.linear({{source.name("altup_predict_coef"), count * count}}, count));
  ASSIGN_OR_RETURN(correct_, weights.linear({{source.name("altup_correct_coef"), count}}, count));
  // Each stream keeps itself, and takes the whole correction, besides what the weights say.
  std::vector<float> itself(static_cast<size_t>(count * count), 0.0f);
  for (int i = 0; i < count; ++i) itself[static_cast<size_t>(i * count + i)] = 1;
  predict_.bias = std::move(itself);
  correct_.bias = std::vector<float>(static_cast<size_t>(count), 1.0f);
  if (!source.has("altup_correct_scale")) return {};
  ASSIGN_OR_RETURN(std::vector<float> scale,
                   weights.vector(source.name("altup_correct_scale.weight"), width_));
  scale_ = std::move(scale);
  return {};
}

mx::array AltUpLayer::modalities(const mx::array& x) {
  const mx::array routed = nn::linear(backend_, router_, nn::norm(backend_, router_norm_, x));
  return nn::soft_cap(backend_, routed, 1.0f);  // tanh
}

mx::array AltUpLayer::predict(const mx::array& streams) {
  const mx::array weights = nn::linear(backend_, predict_, modalities(active(streams)));
  return nn::mix_streams(backend_, streams, count_, weights);
}

mx::array AltUpLayer::active(const mx::array& streams) {
  return nn::columns(backend_, streams, active_ * width_, width_);
}

mx::array AltUpLayer::laurel(const mx::array& x) {
  const mx::array low = nn::linear(backend_, left_, x);
  return nn::add(backend_, x, nn::norm(backend_, laurel_norm_, nn::linear(backend_, right_, low)));
}

mx::array AltUpLayer::correct(const mx::array& predictions, const mx::array& computed) {
  const mx::array weights = nn::linear(backend_, correct_, modalities(computed));
  const mx::array news =
      nn::add(backend_, computed, nn::scale(backend_, active(predictions), -1.0f));
  return nn::add(backend_, predictions, nn::mix_streams(backend_, news, 1, weights));
}

mx::array AltUpLayer::scaled(const mx::array& streams) {
  const mx::array stream = active(streams);
  return scale_.empty() ? stream : nn::scale_columns(backend_, stream, scale_);
}

mx::array AltUpLayer::add_to_others(const mx::array& streams, const mx::array& given) {
  std::vector<float> others(static_cast<size_t>(count_), 1.0f);
  others[0] = 0;
  return nn::add(backend_, streams,
                 nn::mix_streams(backend_, given, 1, same_for(given.shape(0), others)));
}

void AltUpLayer::add_products(ProductOrder& order) const {
  order.insert(order.end(), {&router_, &predict_, &left_, &right_, &correct_});
}

}  // namespace pippin::models
