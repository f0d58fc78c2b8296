// Granite Swash, dense and of experts: a Granite with sinks, and a window in all layers but every
// fourth.
#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "models/families/granite.h"

namespace pippin::models {
namespace {

constexpr size_t kFullPeriod = 4;

constexpr store::ModuleName kNames[] = {
    {"block_sparse_moe.router.layer", "ffn_gate_inp"},
    {"block_sparse_moe.router", "ffn_gate_inp"},
    {"block_sparse_moe.input_linear", "ffn_gate_up_exps"},
    {"block_sparse_moe.output_linear", "ffn_down_exps"},
    {"block_sparse_moe.experts.gate_up_proj", "ffn_gate_up_exps"},
    {"block_sparse_moe.experts.down_proj", "ffn_down_exps"},
    {"shared_mlp.input_linear", "ffn_gate_up_shexp"},
    {"shared_mlp.output_linear", "ffn_down_shexp"}};

std::vector<bool> usual_windows(const store::ModelConfig& config) {
  std::vector<bool> windowed(static_cast<size_t>(config.layers));
  for (size_t i = 0; i < windowed.size(); ++i) windowed[i] = i % kFullPeriod != 0;
  return windowed;
}

// Each layer's rope base, 0 where it has no rope. Those of one kind of layer have the same.
Result<void> read_bases(const store::HfFields& fields, store::ModelConfig& config) {
  constexpr const char* kKey = "layer_rope_theta";
  if (!fields.length(kKey)) return {};
  const auto count = static_cast<size_t>(config.layers);
  ASSIGN_OR_RETURN(const std::vector<double> bases, fields.numbers(kKey, count));
  float full = 0, windowed = 0;
  for (size_t i = 0; i < count; ++i) {
    config.rope.layers.push_back(bases[i] != 0);
    const bool has_window = config.sliding_window > 0 && config.windowed_layers[i];
    float& base = has_window ? windowed : full;
    const auto own = static_cast<float>(bases[i]);
    if (own != 0 && base != 0 && own != base)
      return fields.unsupported(kKey, "layers of one kind with different bases are not supported");
    if (own != 0) base = own;
  }
  if (full != 0) config.rope.freq_base = full;
  if (windowed != 0) config.rope.freq_base_window = windowed;
  return {};
}

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  if (!fields.has("layer_types")) config.windowed_layers = usual_windows(config);
  return read_bases(fields, config);
}

Result<void> read_moe(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(
      read_experts(fields, {.inner = {}, .shared_inner = "shared_intermediate_size"}, config));
  return read(fields, config);
}

void complete(store::ModelConfig& config) {
  if (config.windowed_layers.empty()) config.windowed_layers = usual_windows(config);
}

constexpr store::HfFamily swash(std::string_view model_type, double eps,
                                decltype(store::HfFamily::read) read_own) {
  store::HfFamily family = granite_folder(model_type, "granite_swa");
  family.eps = eps;
  family.window = 128;
  family.names = kNames;
  family.read = read_own;
  return family;
}
constexpr store::HfFamily kHf[] = {swash("granite_swa", 1e-5, read),
                                   swash("granitemoe_swa", 1e-6, read_moe)};

}  // namespace

extern const Family kGraniteSwa;
constexpr Family kGraniteSwa = {
    "granite_swa",
    "Granite Swash",
    {.rope_interleaved = true,
     .scales = true,
     .experts = MoeOptions{.scores = nn::RouterScores::kSelectedSoftmax}},
    kHf,
    complete};

}  // namespace pippin::models
