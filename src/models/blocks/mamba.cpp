#include "models/blocks/mamba.h"

#include <fmt/format.h>

#include <utility>

#include "models/blocks/conv.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"
#include "nn/ops/recurrent.h"

namespace pippin::models {

nn::KvGeometry MambaBlock::geometry(const store::ModelConfig& config) {
  const store::RecurrentConfig& recurrent = config.recurrent;
  return {.state = {.conv_positions = recurrent.conv_taps - 1,
                    .conv_channels = recurrent.inner,
                    .heads = 1,
                    .rows = recurrent.state,
                    .columns = recurrent.inner}};
}

Result<void> MambaBlock::check(const store::ModelConfig& config) {
  const store::RecurrentConfig& recurrent = config.recurrent;
  const auto unsupported = [&](std::string what, std::string key) {
    return fail(Code::kUnsupported, fmt::format("[model] {}: {}", config.path, what),
                config.architecture + "." + key);
  };
  if (recurrent.inner <= 0 || recurrent.inner % 16 != 0)
    return unsupported("Mamba's width must be a multiple of 16", "ssm.inner_size");
  if (recurrent.state <= 0) return unsupported("expected a state", "ssm.state_size");
  if (recurrent.time_step_rank <= 0) return unsupported("expected a rank", "ssm.time_step_rank");
  return {};
}

Result<std::unique_ptr<Mixer>> MambaBlock::load(const LayerSource& source, nn::Backend& backend) {
  std::unique_ptr<MambaBlock> block(new MambaBlock(backend));
  const store::RecurrentConfig& recurrent = source.config.recurrent;
  const int inner = recurrent.inner, state = recurrent.state,
            width = source.config.embedding_length;
  WeightLoader& weights = source.weights;
  block->store_ = source.store;
  block->rank_ = recurrent.time_step_rank;
  block->scan_ = {.channels = inner, .state = state};
  ASSIGN_OR_RETURN(const std::vector<float> decay, source.decay(inner * state));
  std::vector<float> turned(decay.size());
  for (size_t c = 0; c < static_cast<size_t>(inner); ++c)
    for (size_t n = 0; n < static_cast<size_t>(state); ++n)
      turned[n * static_cast<size_t>(inner) + c] = decay[c * static_cast<size_t>(state) + n];
  block->scan_.decay = std::move(turned);
  ASSIGN_OR_RETURN(block->scan_.skip, weights.values(source.name("ssm_d"), inner));
  ASSIGN_OR_RETURN(block->conv_, load_conv(source, "ssm_conv1d", inner));
  block->conv_.silu = true;
  RETURN_IF_ERROR(block->load_norms(source));
  ASSIGN_OR_RETURN(block->input_, weights.linear({{source.name("ssm_in"), 2 * inner}}, width));
  ASSIGN_OR_RETURN(block->selection_,
                   weights.linear({{source.name("ssm_x"), block->rank_ + 2 * state}}, inner));
  ASSIGN_OR_RETURN(block->steps_, weights.linear({{source.name("ssm_dt"), inner}}, block->rank_));
  ASSIGN_OR_RETURN(block->output_, weights.linear({{source.name("ssm_out"), width}}, inner));
  return std::unique_ptr<Mixer>(std::move(block));
}

Result<void> MambaBlock::load_norms(const LayerSource& source) {
  const int state = scan_.state;
  const std::pair<const char*, int> parts[] = {
      {"ssm_dt_norm", rank_}, {"ssm_b_norm", state}, {"ssm_c_norm", state}};
  const bool has_weights = source.has(parts[0].first);
  if (!has_weights && !source.config.recurrent.step_norms) return {};
  for (const auto& [part, size] : parts) {
    const float eps = source.config.recurrent.step_norm_eps;
    nn::NormWeight norm{.eps = eps > 0 ? eps : source.config.norm_eps};
    norm.values = std::vector<float>(static_cast<size_t>(size), 1.0f);
    if (has_weights) {
      ASSIGN_OR_RETURN(norm.values, source.weights.vector(source.name(part) + ".weight", size));
    }
    norms_.push_back(std::move(norm));
  }
  return {};
}

mx::array MambaBlock::mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) {
  nn::KvLayerStore& state = kv.layer(store_);
  const int inner = scan_.channels;
  const mx::array in = nn::linear(backend_, input_, x);
  const mx::array taken = nn::causal_conv(backend_, conv_, {in, 0, inner}, batch, state);
  mx::array selection = nn::linear(backend_, selection_, taken);
  int first = 0;
  for (const nn::NormWeight& norm : norms_) {
    selection = nn::norm_columns(backend_, norm, selection, first);
    first += static_cast<int>(norm.values.size());
  }
  const mx::array dt = nn::linear(backend_, steps_, nn::columns(backend_, selection, 0, rank_));
  const mx::array bc = nn::columns(backend_, selection, rank_, 2 * scan_.state);
  const mx::array y = nn::mamba_scan(backend_, scan_, taken, dt, bc, batch, state);
  return nn::gated_norm(backend_, {}, y, {in, inner, inner});
}

mx::array MambaBlock::project(const mx::array& mixed) {
  return nn::linear(backend_, output_, mixed);
}

void MambaBlock::add_products(ProductOrder& order) const {
  order.insert(order.end(), {&input_, &selection_, &steps_, &output_});
}

}  // namespace pippin::models
