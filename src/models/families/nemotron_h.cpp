// Nemotron-H: each layer is Mamba 2, attention without rotation, or a feed-forward layer, of
// experts in some.
#include <string>

#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "models/families/layer_types.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"model.embeddings", "token_embd"},
                                      {"model.norm_f", "output_norm"}};
constexpr store::ModuleName kNames[] = {{"norm", "attn_norm"},
                                        {"mixer.in_proj", "ssm_in"},
                                        {"mixer.conv1d", "ssm_conv1d"},
                                        {"mixer.norm", "ssm_norm"},
                                        {"mixer.out_proj", "ssm_out"},
                                        {"mixer.q_proj", "attn_q"},
                                        {"mixer.k_proj", "attn_k"},
                                        {"mixer.v_proj", "attn_v"},
                                        {"mixer.o_proj", "attn_output"},
                                        {"mixer.up_proj", "ffn_up"},
                                        {"mixer.down_proj", "ffn_down"},
                                        {"mixer.gate", "ffn_gate_inp"},
                                        {"mixer.gate.e_score_correction", "exp_probs_b"},
                                        {"mixer.shared_experts.up_proj", "ffn_up_shexp"},
                                        {"mixer.shared_experts.down_proj", "ffn_down_shexp"}};
constexpr store::ModuleName kParameters[] = {
    {"mixer.A_log", "ssm_a"}, {"mixer.D", "ssm_d"}, {"mixer.dt_bias", "ssm_dt.bias"}};
constexpr std::string_view kIgnored[] = {"mtp."};
constexpr store::FieldName kFields[] = {{"layer_types", "layers_block_type"},
                                        {"hidden_act", "mlp_hidden_act"},
                                        {"head_dim", "attention_head_dim"}};

// The types of layers, as letters of the older files' pattern.
Result<std::string> layer_pattern(const store::HfFields& fields, int layers) {
  if (!fields.has("layer_types")) {
    ASSIGN_OR_RETURN(std::string pattern, fields.text("hybrid_override_pattern"));
    if (static_cast<int>(pattern.size()) != layers)
      return fields.wrong("hybrid_override_pattern", "expected a letter for each layer");
    return pattern;
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> types,
                   fields.texts("layer_types", static_cast<size_t>(layers)));
  std::string pattern;
  for (const std::string& type : types) {
    const bool recurrent = type == "linear_attention" || type == "mamba";
    const bool attention = type == "full_attention" || type == "attention";
    const bool dense = type == "mlp", experts = type == "moe";
    pattern += recurrent ? 'M' : attention ? '*' : dense ? '-' : experts ? 'E' : '?';
  }
  return pattern;
}

Result<void> read_routing(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(const int latent, fields.size("moe_latent_size", 0, 1 << 22, 0));
  if (latent > 0)
    return fields.unsupported("moe_latent_size", "experts of another width are not supported yet");
  return read_experts(fields,
                      {.shared = "n_shared_experts",
                       .shared_inner = "moe_shared_expert_intermediate_size",
                       .normalise = "norm_topk_prob",
                       .normalise_unsaid = true,
                       .scale = "routed_scaling_factor",
                       .groups = "n_group",
                       .groups_used = "topk_group"},
                      config);
}

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read_mamba2(fields, config,
                              {.taps = "conv_kernel",
                               .state = "ssm_state_size",
                               .groups = "n_groups",
                               .heads = "mamba_num_heads",
                               .head_dim = "mamba_head_dim",
                               .expand = "expand"}));
  config.rope.dims = 0;
  ASSIGN_OR_RETURN(const std::string pattern, layer_pattern(fields, config.layers));
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (std::string_view("M*-E").find(pattern[i]) == std::string_view::npos)
      return fields.unsupported("layer_types", "no layer of this type is supported");
    config.recurrent.layers.push_back(pattern[i] == 'M');
    if (pattern[i] != '*') config.heads[i] = config.kv_heads[i] = 0;
    if (pattern[i] != '-') config.feed_forward[i] = 0;
  }
  return pattern.find('E') == std::string::npos ? Result<void>() : read_routing(fields, config);
}

// A layer without heads of keys and without feed-forward is Mamba 2. Its norms are RMS norms,
// though files have the other kind's key.
void complete(store::ModelConfig& config) {
  config.norm = store::NormKind::kRms;
  config.rope.dims = 0;
  for (size_t i = 0; i < config.recurrent.layers.size(); ++i)
    config.recurrent.layers[i] = config.kv_heads[i] == 0 && config.feed_forward[i] == 0;
}

constexpr store::HfFamily kHf[] = {{.model_type = "nemotron_h",
                                    .architecture = "nemotron_h",
                                    .activation = "relu2",
                                    .eps = 1e-5,
                                    .eps_field = "layer_norm_epsilon",
                                    .names = kNames,
                                    .top_names = kTop,
                                    .parameters = kParameters,
                                    .ignored = kIgnored,
                                    .fields = kFields,
                                    .read = read}};

constexpr DecoderOptions kOptions = {
    .gate = nn::Gate::kReluSquared,
    .gated = false,
    .experts = MoeOptions{.scores = nn::RouterScores::kSigmoid, .normalise = true},
    .recurrence = MixerKind::kMamba2};

}  // namespace

// Folders go by one name with and without experts; GGUF files by two.
extern const Family kNemotronH, kNemotronHMoe;
constexpr Family kNemotronH = {"nemotron_h", "Nemotron-H, Nemotron Nano 2 and 3", kOptions, kHf,
                               complete,     ThinkingSwitch::kEnableThinking};
constexpr Family kNemotronHMoe = {"nemotron_h_moe", "Nemotron Nano 3, as GGUF files have it",
                                  kOptions,         {},
                                  complete,         ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
