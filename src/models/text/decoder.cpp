#include "models/text/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/blocks/dense_moe.h"
#include "models/blocks/mixers.h"
#include "models/blocks/mlp.h"
#include "models/blocks/moe.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

namespace pippin::models {
namespace {

namespace mx = mlx::core;

// Where all is by experts a configuration may leave the size out; but a hybrid has layers without.
bool has_feed_forward(const store::ModelConfig& config, int layer) {
  const bool experts = config.experts.count > 0 && !config.recurrent.any();
  return config.feed_forward[static_cast<size_t>(layer)] > 0 || experts;
}

Result<std::unique_ptr<FeedForward>> load_feed_forward(const LayerSource& source,
                                                       nn::Backend& backend) {
  const bool experts = source.config.experts.count > 0 && source.has("ffn_gate_inp");
  if (experts && source.options.dense_beside_experts) return DenseMoeBlock::load(source, backend);
  if (experts) {
    ASSIGN_OR_RETURN(std::unique_ptr<MoeBlock> block, MoeBlock::load(source, backend));
    return std::unique_ptr<FeedForward>(std::move(block));
  }
  if (has_feed_forward(source.config, source.layer)) return MlpBlock::load(source, backend);
  return std::unique_ptr<FeedForward>();
}

// What this decoder cannot do is refused before a weight is read.
Result<void> check_supported(const store::ModelConfig& config, const DecoderOptions& options) {
  const auto unsupported = [&](std::string what, std::string key) {
    return fail(Code::kUnsupported, fmt::format("[model] {}: {}", config.path, what),
                config.architecture + "." + key);
  };
  RETURN_IF_ERROR(MoeBlock::check(config, options));
  const std::pair<const char*, float> factors[] = {{"embedding_scale", config.embedding_scale},
                                                   {"residual_scale", config.residual_scale},
                                                   {"logit_scale", config.logit_scale}};
  for (const auto& [key, factor] : factors) {
    const bool used = options.scales || (options.logit_multiplier && key == factors[2].first);
    if (!used && factor != 0 && factor != 1)
      return unsupported(
          fmt::format("a factor of {} is not supported in this architecture", factor), key);
  }
  if (config.streams.count > 0 && config.layer_input == 0)
    return unsupported("several streams without inputs of layers", "altup.num_inputs");
  return check_mixers(config, options);
}

// mlx-lm turns the weights of convolutions, [C, 1, taps], to [C, taps, 1], and adds what is to be
// added to norms where it does.
bool has_mlx_convolutions(const store::Checkpoint& checkpoint) {
  return std::ranges::any_of(checkpoint.tensors(), [](const store::TensorView& tensor) {
    return tensor.name.ends_with(".ssm_conv1d.weight") && tensor.shape.size() == 3 &&
           tensor.shape[2] == 1;
  });
}

Result<std::vector<float>> divisors_in(WeightLoader& weights, const store::ModelConfig& config,
                                       const std::string& name) {
  ASSIGN_OR_RETURN(std::vector<float> divisors,
                   weights.vector(name + ".weight", config.rope.dims / 2));
  for (float divisor : divisors) {
    if (!(divisor > 0))
      return fail(Code::kInvalidFile,
                  fmt::format("[model] {}: {} holds {}", config.path, name, divisor), name);
  }
  return divisors;
}

// A file's own divisors of rope frequencies, as tensors or in its configuration.
Result<std::vector<float>> rope_divisors(WeightLoader& weights, const store::ModelConfig& config) {
  if (config.rope.scaling == store::RopeScaling::kLongRope) {
    const int context = config.served_context > 0 ? config.served_context : config.context_length;
    const bool longer = context > config.rope.original_context;
    const std::string name = longer ? "rope_factors_long" : "rope_factors_short";
    weights.skip(longer ? "rope_factors_short.weight" : "rope_factors_long.weight");
    if (weights.has(name + ".weight")) return divisors_in(weights, config, name);
    return longer ? config.rope.long_divisors : config.rope.short_divisors;
  }
  return weights.has("rope_freqs.weight") ? divisors_in(weights, config, "rope_freqs")
                                          : Result<std::vector<float>>(config.rope.divisors);
}

}  // namespace

Result<ModelSpec> Decoder::make_spec(const store::ModelConfig& config,
                                     const DecoderOptions& options) {
  RETURN_IF_ERROR(check_supported(config, options));
  ModelSpec spec;
  spec.architecture = config.architecture;
  spec.vocab = config.vocab_size;
  spec.context_tokens_max = config.context_length;
  spec.inputs.pooling = true;
  for (int i = 0; i < config.layers; ++i) {
    const std::vector<nn::KvGeometry> stores = mixer_stores(config, options, i);
    spec.layers.insert(spec.layers.end(), stores.begin(), stores.end());
  }
  return spec;
}

Result<void> Decoder::load_norms(const LayerSource& source, Layer& layer) const {
  const auto norm = [&](std::string_view part) {
    return source.weights.norm(source.name(part) + ".weight", source.config.embedding_length,
                               source.config.norm_eps);
  };
  const bool both = layer.mixer != nullptr && layer.feed_forward != nullptr;
  // Falcon's feed-forward layer takes the first norm, where there are two.
  const bool second = options_.parallel && source.has("attn_norm_2");
  const std::string_view feed_forward_norm = second ? "attn_norm" : options_.feed_forward_norm;
  if (options_.pre_norms) {
    ASSIGN_OR_RETURN(layer.norm, norm(second ? "attn_norm_2" : "attn_norm"));
    // A parallel feed-forward layer may take what the mixer takes.
    const bool norms_itself = options_.dense_beside_experts && source.config.experts.count > 0;
    if (both && !norms_itself && (!options_.parallel || source.has(feed_forward_norm))) {
      ASSIGN_OR_RETURN(layer.feed_forward_norm, norm(feed_forward_norm));
    }
  }
  if (options_.post_norms) {
    ASSIGN_OR_RETURN(layer.post_mixer_norm, norm("post_attention_norm"));
    ASSIGN_OR_RETURN(layer.post_feed_forward_norm, norm("post_ffw_norm"));
  }
  return {};
}

// What a layer takes beside the residual stream, and gives to it.
Result<void> Decoder::load_output(const LayerSource& source, Layer& layer) const {
  if (inputs_ != nullptr) {
    ASSIGN_OR_RETURN(layer.input, LayerInput::load(source, backend_));
  }
  if (stream_ends_ != nullptr) {
    ASSIGN_OR_RETURN(layer.streams, AltUpLayer::load(source, backend_));
  }
  if (!options_.layer_scales || !source.has("layer_output_scale")) return {};
  ASSIGN_OR_RETURN(const std::vector<float> scale,
                   source.weights.vector(source.name("layer_output_scale.weight"), 1));
  layer.scale = scale.front();
  return {};
}

Result<void> Decoder::load_ends(WeightLoader& weights, const store::ModelConfig& config) {
  const int width = config.embedding_length;
  ASSIGN_OR_RETURN(embedding_, weights.linear({{"token_embd", config.vocab_size}}, width));
  head_ = embedding_;
  if (weights.has("output.weight")) {
    ASSIGN_OR_RETURN(head_, weights.linear({{"output", config.vocab_size}}, width));
  }
  ASSIGN_OR_RETURN(final_norm_, weights.norm(std::string(options_.final_norm) + ".weight", width,
                                             config.norm_eps));
  if (options_.scale_embedding) embedding_scale_ = std::sqrt(static_cast<float>(width));
  const auto factor = [](float value) { return value > 0 ? value : 1.0f; };
  if (options_.scales) {
    embedding_scale_ = factor(config.embedding_scale);
    residual_scale_ = factor(config.residual_scale);
    logit_factor_ = 1.0f / factor(config.logit_scale);
  }
  if (options_.logit_multiplier) logit_factor_ = factor(config.logit_scale);
  logit_soft_cap_ = config.logit_soft_cap;
  if (config.layer_input > 0) {
    ASSIGN_OR_RETURN(inputs_, LayerInputs::load(weights, config, backend_));
  }
  if (config.streams.count > 0) {
    ASSIGN_OR_RETURN(stream_ends_, AltUpEnds::load(weights, config, backend_));
  }
  if (options_.learned_positions) {
    ASSIGN_OR_RETURN(positions_, weights.linear({{"position_embd", config.context_length}}, width));
  }
  return {};
}

Result<std::unique_ptr<Model>> Decoder::load(const store::Checkpoint& checkpoint,
                                             const store::ModelConfig& config,
                                             const DecoderOptions& options, nn::Backend& backend,
                                             const LoadProgress& progress) {
  ASSIGN_OR_RETURN(ModelSpec spec, make_spec(config, options));
  const float offset = has_mlx_convolutions(checkpoint) ? 0 : options.norm_offset;
  WeightLoader weights(checkpoint, backend, progress,
                       {.offset = offset,
                        .centred = config.norm == store::NormKind::kLayer,
                        .weights = options.norm_weights});
  std::unique_ptr<Decoder> model(new Decoder(backend, options, std::move(spec)));
  model->options_.parallel |= options.parallel_by_norm && !weights.has("blk.0.ffn_norm.weight");
  if (config.parallel_residual) model->options_.parallel = *config.parallel_residual;
  RETURN_IF_ERROR(model->load_ends(weights, config));
  ASSIGN_OR_RETURN(const std::vector<float> divisors, rope_divisors(weights, config));
  std::vector<int> stores = {0};  // how many there are before each layer
  const auto selected = std::make_shared<std::optional<mx::array>>();
  for (int i = 0; i < config.layers; ++i) {
    const auto from = static_cast<size_t>(kv_layer(config, options, i));
    const LayerSource source{weights, config, options, i, stores[from], selected};
    stores.push_back(stores.back() + static_cast<int>(mixer_stores(config, options, i).size()));
    Layer layer;
    ASSIGN_OR_RETURN(layer.mixer, load_mixer(source, backend, divisors));
    ASSIGN_OR_RETURN(layer.feed_forward, load_feed_forward(source, backend));
    RETURN_IF_ERROR(model->load_norms(source, layer));
    RETURN_IF_ERROR(model->load_output(source, layer));
    model->layers_.push_back(std::move(layer));
  }
  RETURN_IF_ERROR(weights.refuse_unread(config.layers));
  model->set_product_order();
  return std::unique_ptr<Model>(std::move(model));
}

// A step runs the products in this order.
void Decoder::set_product_order() {
  ProductOrder order;
  if (inputs_) inputs_->add_products(order);
  if (stream_ends_) stream_ends_->add_products(order);
  for (const Layer& layer : layers_) {
    if (layer.mixer) layer.mixer->add_products(order);
    if (layer.feed_forward) layer.feed_forward->add_products(order);
    if (layer.input) layer.input->add_products(order);
    if (layer.streams) layer.streams->add_products(order);
  }
  order.push_back(&head_);
  backend_.set_order(order);
}

mx::array Decoder::forward(const nn::StepBatch& batch, nn::KvCache& kv) {
  mx::array embedded = nn::embed(backend_, embedding_, batch, embedding_scale_);
  if (options_.learned_positions) {
    nn::StepBatch places;
    places.tokens = batch.positions;
    embedded = nn::add(backend_, embedded, nn::embed(backend_, positions_, places, 1.0f));
  }
  if (stream_ends_) return forward_streams(embedded, batch, kv);
  Stream stream{embedded,
                options_.pre_norms ? nn::norm(backend_, layers_[0].norm, embedded) : embedded};
  if (inputs_) stream.inputs = inputs_->of_step(batch, embedded);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const bool last = i + 1 == layers_.size();
    const nn::NormWeight* next = norm_after(i);
    if (layer.mixer == nullptr) {
      if (last && batch.logit_tokens.empty()) return stream.normed;
      if (last) keep_logit_rows(stream, batch);
      if (layer.feed_forward) feed_forward(i, stream);
      continue;
    }
    mx::array mixed = layer.mixer->mix(stream.normed, batch, kv);
    if (last) {  // only rows that need logits go on
      if (batch.logit_tokens.empty()) return mixed;
      mixed = nn::gather(backend_, mixed, batch.logit_tokens);
      keep_logit_rows(stream, batch);
    }
    mx::array given = behind(layer.post_mixer_norm, layer.mixer->project(mixed));
    if (layer.feed_forward == nullptr) {
      stream.normed = take_in(next, stream.x, given);
    } else if (options_.parallel) {
      const mx::array taken = layer.feed_forward_norm.values.empty()
                                  ? stream.normed
                                  : nn::norm(backend_, layer.feed_forward_norm, stream.x);
      const mx::array fed = behind(layer.post_feed_forward_norm, layer.feed_forward->run(taken));
      stream.normed = take_in(next, stream.x, nn::add(backend_, given, fed));
    } else {
      const bool normed = !layer.feed_forward_norm.values.empty();
      stream.normed = take_in(normed ? &layer.feed_forward_norm : nullptr, stream.x, given);
      feed_forward(i, stream);
    }
  }
  return stream.x;
}

void Decoder::keep_logit_rows(Stream& stream, const nn::StepBatch& batch) {
  stream.x = nn::gather(backend_, stream.x, batch.logit_tokens);
  if (stream.inputs) {
    LayerInputs::Step& inputs = *stream.inputs;
    inputs.projected = nn::gather(backend_, inputs.projected, batch.logit_tokens);
    inputs.embedded = nn::gather(backend_, inputs.embedded, batch.logit_tokens);
  }
  // A mixer's input is used up, but where the feed-forward layer takes it, too.
  const Layer& layer = layers_.back();
  if (layer.mixer == nullptr || options_.parallel)
    stream.normed = nn::gather(backend_, stream.normed, batch.logit_tokens);
}

void Decoder::feed_forward(size_t index, Stream& stream) {
  const Layer& layer = layers_[index];
  const nn::NormWeight* next = norm_after(index);
  const mx::array fed =
      behind(layer.post_feed_forward_norm, layer.feed_forward->run(stream.normed));
  if (layer.input == nullptr && layer.scale == 1) {
    stream.normed = take_in(next, stream.x, fed);
    return;
  }
  mx::array& x = stream.x;
  x = nn::add(backend_, x, fed);
  if (layer.input) {
    const mx::array given = inputs_->of_layer(*stream.inputs, static_cast<int>(index));
    x = nn::add(backend_, x, layer.input->run(x, given));
  }
  if (layer.scale != 1) x = nn::scale(backend_, x, layer.scale);
  stream.normed = next != nullptr ? nn::norm(backend_, *next, x) : x;
}

// The norm of what the next layer takes; null where none follows.
const nn::NormWeight* Decoder::norm_after(size_t layer) const {
  return layer + 1 == layers_.size() || !options_.pre_norms ? nullptr : &layers_[layer + 1].norm;
}

// What a block gives, as the residual stream takes it in.
mx::array Decoder::behind(const nn::NormWeight& norm, const mx::array& given) {
  const mx::array out = options_.post_norms ? nn::norm(backend_, norm, given) : given;
  return residual_scale_ == 1.0f ? out : nn::scale(backend_, out, residual_scale_);
}

// Adds to the residual stream; returns it, normed where a norm follows.
mx::array Decoder::take_in(const nn::NormWeight* norm, mx::array& x, const mx::array& delta) {
  if (norm != nullptr) return nn::add_norm(backend_, *norm, x, delta);
  x = nn::add(backend_, x, delta);
  return x;
}

mx::array Decoder::final_norm(const mx::array& hidden) {
  return nn::as_floats(nn::norm(backend_, final_norm_, hidden));
}

mx::array Decoder::logits(const mx::array& hidden) {
  mx::array out = nn::linear(backend_, head_, nn::norm(backend_, final_norm_, hidden));
  if (logit_factor_ != 1.0f) out = nn::scale(backend_, out, logit_factor_);
  if (logit_soft_cap_ > 0) out = nn::soft_cap(backend_, out, logit_soft_cap_);
  return nn::as_floats(out);
}

}  // namespace pippin::models
