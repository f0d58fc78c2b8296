#include "models/blocks/delta_net.h"

#include <fmt/format.h>

#include <utility>

#include "models/blocks/conv.h"
#include "nn/ops/linear.h"
#include "nn/ops/recurrent.h"

namespace pippin::models {
namespace {

nn::DeltaRuleSpec rule_of(const store::ModelConfig& config) {
  const store::RecurrentConfig& recurrent = config.recurrent;
  return {.key_heads = recurrent.groups,
          .heads = recurrent.time_step_rank,
          .key_dim = recurrent.state,
          .value_dim = recurrent.inner / recurrent.time_step_rank};
}

using Parts = std::vector<WeightLoader::Part>;

// Rows that a file keeps head of keys by head of keys, each with its own of several kinds: those of
// one kind, which begin at `first` of each head's.
void add_grouped(Parts& parts, const std::string& name, const nn::DeltaRuleSpec& rule,
                 int each_head, int first, int rows) {
  for (int head = 0; head < rule.key_heads; ++head)
    parts.push_back({name, rows, head * each_head + first, rule.key_heads * each_head});
}

}  // namespace

nn::KvGeometry DeltaNetBlock::geometry(const store::ModelConfig& config) {
  const nn::DeltaRuleSpec rule = rule_of(config);
  return {.state = {.conv_positions = config.recurrent.conv_taps - 1,
                    .conv_channels = 2 * rule.key_heads * rule.key_dim + config.recurrent.inner,
                    .heads = rule.heads,
                    .rows = rule.key_dim,
                    .columns = rule.value_dim}};
}

Result<void> DeltaNetBlock::check(const store::ModelConfig& config) {
  const store::RecurrentConfig& recurrent = config.recurrent;
  const auto unsupported = [&](std::string what, std::string key) {
    return fail(Code::kUnsupported, fmt::format("[model] {}: {}", config.path, what),
                config.architecture + "." + key);
  };
  const int heads = recurrent.time_step_rank;
  if (heads <= 0 || recurrent.groups <= 0 || heads % recurrent.groups != 0)
    return unsupported(
        fmt::format("{} heads of values do not share {} heads of keys", heads, recurrent.groups),
        "ssm.time_step_rank");
  if (recurrent.state <= 0 || recurrent.state % 16 != 0)
    return unsupported("keys of delta nets must have a multiple of 16 dimensions",
                       "ssm.state_size");
  if (recurrent.inner <= 0 || recurrent.inner % (heads * 16) != 0)
    return unsupported("values of delta nets must have a multiple of 16 dimensions",
                       "ssm.inner_size");
  return {};
}

Result<std::unique_ptr<Mixer>> DeltaNetBlock::load(const LayerSource& source,
                                                   nn::Backend& backend) {
  std::unique_ptr<DeltaNetBlock> block(new DeltaNetBlock(backend));
  const store::ModelConfig& config = source.config;
  WeightLoader& weights = source.weights;
  block->store_ = source.store;
  nn::DeltaRuleSpec& rule = block->rule_ = rule_of(config);
  rule.keys_tiled = source.options.keys_tiled;
  ASSIGN_OR_RETURN(rule.decay, source.decay(rule.heads));
  ASSIGN_OR_RETURN(rule.dt_bias, weights.values(source.name("ssm_dt.bias"), rule.heads));
  ASSIGN_OR_RETURN(block->conv_,
                   load_conv(source, "ssm_conv1d", geometry(config).state.conv_channels));
  block->conv_.silu = true;
  ASSIGN_OR_RETURN(const std::vector<float> norm,
                   weights.values(source.name("ssm_norm.weight"), rule.value_dim));
  std::vector<float> all;
  for (int head = 0; head < rule.heads; ++head) all.insert(all.end(), norm.begin(), norm.end());
  block->norm_ = {.weight = std::move(all), .group = rule.value_dim, .eps = config.norm_eps};
  RETURN_IF_ERROR(block->load_input(source));
  ASSIGN_OR_RETURN(
      block->output_,
      weights.linear({{source.name("ssm_out"), config.embedding_length}}, block->values()));
  return std::unique_ptr<Mixer>(std::move(block));
}

// One product of all that the layer takes in. Files have it as tensors, or for each head of keys
// the parts of its heads behind each other (Qwen 3 Next).
Result<void> DeltaNetBlock::load_input(const LayerSource& source) {
  const int each = rule_.heads / rule_.key_heads, keys = rule_.key_dim,
            own = each * rule_.value_dim;
  Parts parts;
  if (const std::string joined = source.name("ssm_in"); source.has("ssm_in")) {
    const int stride = 2 * (keys + own);
    add_grouped(parts, joined, rule_, stride, 0, keys);
    add_grouped(parts, joined, rule_, stride, keys, keys);
    add_grouped(parts, joined, rule_, stride, 2 * keys, own);
    add_grouped(parts, joined, rule_, stride, 2 * keys + own, own);
  } else {
    parts = {{source.name("attn_qkv"), inputs()}, {source.name("attn_gate"), values()}};
  }
  if (source.has("ssm_ba")) {
    add_grouped(parts, source.name("ssm_ba"), rule_, 2 * each, each, each);
    add_grouped(parts, source.name("ssm_ba"), rule_, 2 * each, 0, each);
  } else {
    parts.push_back({source.name("ssm_alpha"), rule_.heads});
    parts.push_back({source.name("ssm_beta"), rule_.heads});
  }
  ASSIGN_OR_RETURN(input_, source.weights.linear(parts, source.config.embedding_length));
  return {};
}

mx::array DeltaNetBlock::mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) {
  nn::KvLayerStore& state = kv.layer(store_);
  const mx::array in = nn::linear(backend_, input_, x);
  const mx::array qkv = nn::causal_conv(backend_, conv_, {in, 0, inputs()}, batch, state);
  const mx::array y = nn::gated_delta_rule(
      backend_, rule_, qkv, {in, inputs() + values(), 2 * rule_.heads}, batch, state);
  return nn::gated_norm(backend_, norm_, y, {in, inputs(), values()});
}

mx::array DeltaNetBlock::project(const mx::array& mixed) {
  return nn::linear(backend_, output_, mixed);
}

void DeltaNetBlock::add_products(ProductOrder& order) const {
  order.insert(order.end(), {&input_, &output_});
}

}  // namespace pippin::models
