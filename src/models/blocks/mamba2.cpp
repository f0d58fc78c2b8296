#include "models/blocks/mamba2.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "models/blocks/conv.h"
#include "nn/ops/linear.h"
#include "nn/ops/recurrent.h"

namespace pippin::models {

nn::KvGeometry Mamba2Block::geometry(const store::ModelConfig& config) {
  const store::RecurrentConfig& recurrent = config.recurrent;
  return {.state = {.conv_positions = recurrent.conv_taps - 1,
                    .conv_channels = recurrent.inner + 2 * recurrent.groups * recurrent.state,
                    .heads = recurrent.time_step_rank,
                    .rows = recurrent.state,
                    .columns = recurrent.inner / recurrent.time_step_rank}};
}

Result<void> Mamba2Block::check(const store::ModelConfig& config) {
  const store::RecurrentConfig& recurrent = config.recurrent;
  const auto unsupported = [&](std::string what, std::string key) {
    return fail(Code::kUnsupported, fmt::format("[model] {}: {}", config.path, what),
                config.architecture + "." + key);
  };
  const int heads = recurrent.time_step_rank;
  if (heads <= 0 || recurrent.groups <= 0 || heads % recurrent.groups != 0)
    return unsupported(fmt::format("{} heads do not share {} groups", heads, recurrent.groups),
                       "ssm.group_count");
  if (recurrent.state <= 0) return unsupported("expected a state", "ssm.state_size");
  if (recurrent.inner <= 0 || recurrent.inner % (heads * 16) != 0)
    return unsupported("heads of Mamba 2 must have a multiple of 16 dimensions", "ssm.inner_size");
  return {};
}

Result<std::unique_ptr<Mixer>> Mamba2Block::load(const LayerSource& source, nn::Backend& backend) {
  std::unique_ptr<Mamba2Block> block(new Mamba2Block(backend));
  const store::ModelConfig& config = source.config;
  const store::RecurrentConfig& recurrent = config.recurrent;
  const nn::StateShape shape = geometry(config).state;
  WeightLoader& weights = source.weights;
  block->store_ = source.store;
  block->inner_ = recurrent.inner;
  nn::SsdSpec& scan = block->scan_;
  scan = {.heads = shape.heads,
          .head_dim = shape.columns,
          .groups = recurrent.groups,
          .state = recurrent.state,
          .dt_min = recurrent.time_step_min,
          .dt_max = recurrent.time_step_max};
  ASSIGN_OR_RETURN(scan.decay, source.decay(scan.heads));
  ASSIGN_OR_RETURN(scan.dt_bias, weights.values(source.name("ssm_dt.bias"), scan.heads));
  ASSIGN_OR_RETURN(scan.skip, weights.values(source.name("ssm_d"), scan.heads));
  ASSIGN_OR_RETURN(block->conv_, load_conv(source, "ssm_conv1d", shape.conv_channels));
  block->conv_.silu = true;
  const store::Multipliers& multipliers = config.multipliers;
  block->multiply(multipliers.recurrent_parts);
  block->in_factor_ = multipliers.recurrent_in;
  block->out_factor_ = multipliers.recurrent_out;
  block->norm_ = {.eps = config.norm_eps,
                  .gate_first = !recurrent.norm_before_gate,
                  .gate_factor = multipliers.recurrent_parts[0]};
  if (source.has("ssm_norm")) {
    ASSIGN_OR_RETURN(block->norm_.weight,
                     weights.values(source.name("ssm_norm.weight"), recurrent.inner));
    block->norm_.group = recurrent.inner / recurrent.groups;
  }
  const int width = config.embedding_length;
  ASSIGN_OR_RETURN(
      block->input_,
      weights.linear({{source.name("ssm_in"), recurrent.inner + shape.conv_channels + scan.heads}},
                     width));
  ASSIGN_OR_RETURN(block->output_,
                   weights.linear({{source.name("ssm_out"), width}}, recurrent.inner));
  return std::unique_ptr<Mixer>(std::move(block));
}

// The convolution's inputs are x, B and C, and it is linear.
void Mamba2Block::multiply(const std::array<float, 5>& parts) {
  scan_.dt_factor = parts[4];
  const int shared = scan_.groups * scan_.state;
  std::vector<float> weight = conv_.weight.values();
  for (size_t i = 0; i < weight.size(); ++i) {
    const int channel = static_cast<int>(i) % conv_.channels;
    weight[i] *= channel < inner_ ? parts[1] : channel < inner_ + shared ? parts[2] : parts[3];
  }
  conv_.weight = std::move(weight);
}

mx::array Mamba2Block::mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) {
  nn::KvLayerStore& state = kv.layer(store_);
  const mx::array in =
      nn::linear(backend_, input_, in_factor_ == 1 ? x : nn::scale(backend_, x, in_factor_));
  const mx::array xbc =
      nn::causal_conv(backend_, conv_, {in, inner_, conv_.channels}, batch, state);
  const mx::array y =
      nn::ssd_scan(backend_, scan_, xbc, {in, inner_ + conv_.channels, scan_.heads}, batch, state);
  return nn::gated_norm(backend_, norm_, y, {in, 0, inner_});
}

mx::array Mamba2Block::project(const mx::array& mixed) {
  const mx::array out = nn::linear(backend_, output_, mixed);
  return out_factor_ == 1 ? out : nn::scale(backend_, out, out_factor_);
}

void Mamba2Block::add_products(ProductOrder& order) const {
  order.insert(order.end(), {&input_, &output_});
}

}  // namespace pippin::models
