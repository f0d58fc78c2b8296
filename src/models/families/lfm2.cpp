// LFM 2: short convolutions in most layers, attention in the others; with experts behind the first
// layers, or without.
#include <algorithm>

#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "models/families/layer_types.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"model.embedding_norm", "token_embd_norm"}};
constexpr store::ModuleName kNames[] = {
    {"feed_forward.gate", "ffn_gate_inp"},

    {"operator_norm", "attn_norm"},           {"ffn_norm", "ffn_norm"},
    {"self_attn.out_proj", "attn_output"},    {"self_attn.q_layernorm", "attn_q_norm"},
    {"self_attn.k_layernorm", "attn_k_norm"}, {"conv.conv", "shortconv.conv"},
    {"conv.in_proj", "shortconv.in_proj"},    {"conv.out_proj", "shortconv.out_proj"},
    {"feed_forward.w1", "ffn_gate"},          {"feed_forward.w3", "ffn_up"},
    {"feed_forward.w2", "ffn_down"}};

constexpr store::ModuleName kParameters[] = {{"feed_forward.expert_bias", "exp_probs_b.bias"}};

// Two thirds of what the file says, times a factor, in whole multiples.
Result<int> feed_forward_width(const store::HfFields& fields, int said) {
  ASSIGN_OR_RETURN(said, fields.size("block_ff_dim", 1, 1 << 22, said));
  ASSIGN_OR_RETURN(const bool adjusted, fields.flag("block_auto_adjust_ff_dim", true));
  if (!adjusted) return said;
  ASSIGN_OR_RETURN(const double factor, fields.number("block_ffn_dim_multiplier", 0, 100, 1));
  ASSIGN_OR_RETURN(const int each, fields.size("block_multiple_of", 1, 1 << 16, 256));
  const int width = static_cast<int>(factor * (2 * said / 3));
  return (width + each - 1) / each * each;
}

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(config.recurrent.conv_taps, fields.size("conv_L_cache", 2, 8, 3));
  ASSIGN_OR_RETURN(config.recurrent.layers, read_recurrent_layers(fields, config));
  ASSIGN_OR_RETURN(const int width, feed_forward_width(fields, config.feed_forward.front()));
  std::ranges::fill(config.feed_forward, width);
  return {};
}

Result<void> read_moe(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(config.recurrent.conv_taps, fields.size("conv_L_cache", 2, 8, 3));
  ASSIGN_OR_RETURN(config.recurrent.layers, read_recurrent_layers(fields, config));
  return read_experts(
      fields,
      {.normalise = "norm_topk_prob", .normalise_unsaid = true, .scale = "routed_scaling_factor"},
      config);
}

constexpr store::HfFamily family(std::string_view model_type,
                                 Result<void> (*reader)(const store::HfFields&,
                                                        store::ModelConfig&)) {
  return {.model_type = model_type,
          .architecture = model_type == "lfm2" ? "lfm2" : "lfm2moe",
          .vocab = 65536,
          .layers = 32,
          .heads = 32,
          .kv_heads = 8,
          .context = 128000,
          .eps = 1e-5,
          .rope_base = 1e6,
          .eps_field = "norm_eps",
          .names = kNames,
          .top_names = kTop,
          .parameters = kParameters,
          .read = reader};
}
constexpr store::HfFamily kHf[] = {family("lfm2", read)};
constexpr store::HfFamily kHfMoe[] = {family("lfm2_moe", read_moe)};

constexpr DecoderOptions kOptions = {
    .qk_norm = true, .final_norm = "token_embd_norm", .recurrence = MixerKind::kShortConv};
constexpr DecoderOptions with_experts() {
  DecoderOptions options = kOptions;
  options.experts = MoeOptions{.scores = nn::RouterScores::kSigmoid, .normalise = true};
  return options;
}

}  // namespace

extern const Family kLfm2, kLfm2Moe;
constexpr Family kLfm2 = {"lfm2",  "LFM 2 and 2.5 dense",  kOptions, kHf,
                          nullptr, ThinkingSwitch::kAlways};
constexpr Family kLfm2Moe = {"lfm2moe", "LFM 2 MoE (8B-A1B)", with_experts(), kHfMoe};

}  // namespace pippin::models
