// Gemma 4: heads of another size in layers that see all positions, keys and values that the last
// layers share, an embedding for each layer, and experts beside the dense feed-forward layer, in
// those models that have them.
#include <algorithm>
#include <charconv>
#include <limits>

#include "models/families/family.h"
#include "models/families/shared_layers.h"
#include "store/config_limits.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

constexpr int kGlobalHeadDim = 512;

constexpr store::ModuleName kTop[] = {{"model.embed_tokens_per_layer", "per_layer_token_embd"},
                                      {"model.per_layer_model_projection", "per_layer_model_proj"},
                                      {"model.per_layer_projection_norm", "per_layer_proj_norm"}};
constexpr store::ModuleName kNames[] = {{"post_attention_layernorm", "post_attention_norm"},
                                        {"post_feedforward_layernorm_1", "post_ffw_norm_1"},
                                        {"post_feedforward_layernorm_2", "post_ffw_norm_2"},
                                        {"pre_feedforward_layernorm_2", "pre_ffw_norm_2"},
                                        {"router.proj", "ffn_gate_inp"},
                                        {"experts.gate_up_proj", "ffn_gate_up_exps"},
                                        {"experts.down_proj", "ffn_down_exps"},
                                        {"per_layer_input_gate", "inp_gate"},
                                        {"per_layer_projection", "proj"},
                                        {"post_per_layer_input_norm", "post_norm"}};
constexpr store::ModuleName kParameters[] = {{"router.scale", "ffn_gate_inp.scale"},
                                             {"router.per_expert_scale", "ffn_down_exps.scale"},
                                             {"layer_scalar", "layer_output_scale.weight"}};

// Newer files name the layers one by one, by their number.
Result<void> read_layer(const store::HfFields& fields, std::string_view name,
                        store::ModelConfig& config) {
  int layer = -1;
  std::from_chars(name.data(), name.data() + name.size(), layer);
  if (layer < 0 || layer >= config.layers)
    return fields.wrong(name, "expected the number of a layer");
  const auto i = static_cast<size_t>(layer);
  ASSIGN_OR_RETURN(const std::optional<store::HfFields> own, fields.object(name));
  if (!own) return {};
  ASSIGN_OR_RETURN(config.kv_heads[i],
                   own->size("num_key_value_heads", 1, store::kHeadsMax, config.kv_heads[i]));
  const bool windowed = config.windowed_layers[i];
  const int dim = windowed ? config.head_dim_window : config.head_dim_k;
  ASSIGN_OR_RETURN(const int said, own->size("head_dim", 1, store::kHeadDimMax, dim));
  if (said != dim && windowed)
    return own->unsupported("head_dim", "layers with a window that differ are not supported");
  config.head_dim_k = windowed ? config.head_dim_k : said;
  return {};
}

Result<void> read_heads(const store::HfFields& fields, store::ModelConfig& config) {
  config.attention_scale = 1;
  config.windowed_layers.back() = false;
  config.head_dim_window = config.head_dim_k;
  ASSIGN_OR_RETURN(config.head_dim_k,
                   fields.size("global_head_dim", 1, store::kHeadDimMax, kGlobalHeadDim));
  ASSIGN_OR_RETURN(const bool keys_as_values, fields.flag("attention_k_eq_v", false));
  ASSIGN_OR_RETURN(const int heads, fields.size("num_global_key_value_heads", 1, store::kHeadsMax,
                                                config.kv_heads.front()));
  for (size_t i = 0; i < config.kv_heads.size(); ++i)
    if (!config.windowed_layers[i] && keys_as_values) config.kv_heads[i] = heads;
  ASSIGN_OR_RETURN(const std::optional<store::HfFields> each, fields.object("per_layer_config"));
  if (each) {
    for (const auto& [name, own] : each->json())
      RETURN_IF_ERROR(read_layer(*each, std::string_view(name.data(), name.size()), config));
  }
  for (size_t i = 0; i < config.kv_heads.size(); ++i)
    if (config.heads[i] % config.kv_heads[i] != 0)
      return fields.wrong("num_global_key_value_heads", "expected a divisor of the heads");
  config.head_dim_v = config.head_dim_k;
  return {};
}

// Layers that see all positions turn the first pairs of a head; the others stay as they are.
Result<void> read_rope(const store::HfFields& fields, store::ModelConfig& config) {
  store::RopeConfig& rope = config.rope;
  rope.dims_window = config.head_dim_window;
  rope.dims = config.head_dim_k;
  double share = 0.25;
  ASSIGN_OR_RETURN(const std::optional<store::HfFields> kinds, fields.object("rope_parameters"));
  if (kinds) {
    ASSIGN_OR_RETURN(const std::optional<store::HfFields> full, kinds->object("full_attention"));
    if (full) {
      ASSIGN_OR_RETURN(share, full->number("partial_rotary_factor", 0, 1, 1));
    }
  }
  const auto pairs = static_cast<size_t>(rope.dims / 2),
             turned = static_cast<size_t>(share * rope.dims / 2);
  rope.divisors.assign(pairs, std::numeric_limits<float>::infinity());
  std::fill_n(rope.divisors.begin(), std::min(turned, pairs), 1.0f);
  return {};
}

Result<void> read_experts(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(const bool used, fields.flag("enable_moe_block", false));
  if (!used) return {};
  store::ExpertConfig& experts = config.experts;
  ASSIGN_OR_RETURN(experts.count, fields.size("num_experts", 1, store::kExpertsMax));
  ASSIGN_OR_RETURN(experts.used, fields.size("top_k_experts", 1, experts.count));
  ASSIGN_OR_RETURN(experts.feed_forward,
                   fields.size("moe_intermediate_size", 1, store::kFeedForwardMax));
  return {};
}

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read_heads(fields, config));
  RETURN_IF_ERROR(read_rope(fields, config));
  RETURN_IF_ERROR(read_shared_layers(fields, {.input = 256, .vocab = 262144}, config));
  ASSIGN_OR_RETURN(const bool wide, fields.flag("use_double_wide_mlp", false));
  for (int i = config.layers - config.shared_kv_layers; wide && i < config.layers; ++i)
    config.feed_forward[static_cast<size_t>(i)] *= 2;
  return read_experts(fields, config);
}

void complete(store::ModelConfig& config) { config.attention_scale = 1; }

constexpr store::HfFamily family(std::string_view model_type, std::string_view part_of) {
  return {.model_type = model_type,
          .architecture = "gemma4",
          .part_of = part_of,
          .activation = "gelu_pytorch_tanh",
          .vocab = 262144,
          .width = 2304,
          .feed_forward = 9216,
          .layers = 30,
          .heads = 8,
          .kv_heads = 4,
          .head_dim = 256,
          .context = 131072,
          .eps = 1e-6,
          .rope_base = 1e6,
          .window_rope_base = 10000,
          .window = 512,
          .window_period = 6,
          .window_rule = store::WindowRule::kPeriod,
          .names = kNames,
          .top_names = kTop,
          .parameters = kParameters,
          .read = read};
}
constexpr store::HfFamily kHf[] = {family("gemma4_text", "gemma4"),
                                   family("gemma4_unified_text", "gemma4_unified")};

}  // namespace

extern const Family kGemma4;
constexpr Family kGemma4 = {"gemma4",
                            "Gemma 4, text (E2B, E4B, 31B, 26B-A4B)",
                            {.rope_windows_unscaled = true,
                             .qk_norm = true,
                             .post_norms = true,
                             .scale_embedding = true,
                             .gate = nn::Gate::kGeluTanh,
                             .experts = MoeOptions{.normalise = true},
                             .value_norm = true,
                             .keys_as_values = true,
                             .dense_beside_experts = true,
                             .layer_scales = true,
                             .window_period = 6,
                             .window_rope_base = 10000.0f},
                            kHf,
                            complete,
                            ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
