// Falcon-H1: attention and Mamba 2 side by side in every layer, with factors throughout, which
// converters to GGUF fold into weights.
#include "models/families/family.h"
#include "models/families/layer_types.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"model.final_layernorm", "output_norm"}};
constexpr store::ModuleName kNames[] = {
    {"pre_ff_layernorm", "ffn_norm"},   {"feed_forward.gate_proj", "ffn_gate"},
    {"feed_forward.up_proj", "ffn_up"}, {"feed_forward.down_proj", "ffn_down"},
    {"mamba.in_proj", "ssm_in"},        {"mamba.conv1d", "ssm_conv1d"},
    {"mamba.norm", "ssm_norm"},         {"mamba.out_proj", "ssm_out"}};
constexpr store::ModuleName kParameters[] = {
    {"mamba.A_log", "ssm_a"}, {"mamba.D", "ssm_d"}, {"mamba.dt_bias", "ssm_dt.bias"}};

Result<void> read_multipliers(const store::HfFields& fields, store::ModelConfig& config) {
  store::Multipliers& multipliers = config.multipliers;
  float head = 1;
  const std::pair<std::string_view, float*> single[] = {
      {"attention_in_multiplier", &multipliers.attention_in},
      {"attention_out_multiplier", &multipliers.attention_out},
      {"key_multiplier", &multipliers.keys},
      {"ssm_in_multiplier", &multipliers.recurrent_in},
      {"ssm_out_multiplier", &multipliers.recurrent_out},
      {"lm_head_multiplier", &head}};
  for (const auto& [key, factor] : single) {
    ASSIGN_OR_RETURN(const double value, fields.number(key, 1e-6, 1e6, 1));
    *factor = static_cast<float>(value);
  }
  config.logit_scale = 1 / head;
  if (fields.has("mlp_multipliers")) {
    ASSIGN_OR_RETURN(const std::vector<double> values, fields.numbers("mlp_multipliers", 2));
    multipliers.feed_forward_gate = static_cast<float>(values[0]);
    multipliers.feed_forward_out = static_cast<float>(values[1]);
  }
  if (fields.has("ssm_multipliers")) {
    ASSIGN_OR_RETURN(const std::vector<double> values, fields.numbers("ssm_multipliers", 5));
    for (size_t i = 0; i < values.size(); ++i)
      multipliers.recurrent_parts[i] = static_cast<float>(values[i]);
  }
  return {};
}

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read_mamba2(fields, config,
                              {.taps = "mamba_d_conv",
                               .state = "mamba_d_state",
                               .groups = "mamba_n_groups",
                               .heads = "mamba_n_heads",
                               .head_dim = "mamba_d_head",
                               .expand = "mamba_expand",
                               .inner = "mamba_d_ssm"}));
  ASSIGN_OR_RETURN(config.recurrent.norm_before_gate, fields.flag("mamba_norm_before_gate", true));
  return read_multipliers(fields, config);
}

constexpr store::HfFamily kHf[] = {{.model_type = "falcon_h1",
                                    .architecture = "falcon-h1",
                                    .kv_heads = 8,
                                    .context = 8192,
                                    .eps = 1e-5,
                                    .embedding_scale = "embedding_multiplier",
                                    .names = kNames,
                                    .top_names = kTop,
                                    .parameters = kParameters,
                                    .read = read}};

}  // namespace

extern const Family kFalconH1;
constexpr Family kFalconH1 = {
    "falcon-h1",
    "Falcon-H1",
    {.scales = true, .recurrence = MixerKind::kMamba2, .beside_attention = true},
    kHf};

}  // namespace pippin::models
