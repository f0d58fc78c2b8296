// Ling and Ring (Bailing MoE): shared experts beside those that a router chooses; in version 2 by
// sigmoids with a selection bias, of groups, and with norms of heads, part of which is rotated.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"model.word_embeddings", "token_embd"}};
constexpr store::ModuleName kNames[] = {{"attention.query_key_value", "attn_qkv"},
                                        {"attention.dense", "attn_output"},
                                        {"attention.query_layernorm", "attn_q_norm"},
                                        {"attention.key_layernorm", "attn_k_norm"}};
constexpr store::ModuleName kParameters[] = {{"mlp.gate.expert_bias", "exp_probs_b.bias"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  // Heads of the output that are scaled to a length of one.
  ASSIGN_OR_RETURN(const bool normed, fields.flag("norm_head", false));
  if (normed) return fields.unsupported("norm_head", "it is not supported");
  return read_experts(fields, {.shared = "num_shared_experts", .normalise = "norm_topk_prob"},
                      config);
}

Result<void> read_v2(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(const std::string score, fields.text("score_function", "sigmoid"));
  if (score != "sigmoid") return fields.unsupported("score_function", "expected sigmoid");
  RETURN_IF_ERROR(read_experts(fields,
                               {.shared = "num_shared_experts",
                                .normalise = "norm_topk_prob",
                                .normalise_unsaid = true,
                                .scale = "routed_scaling_factor",
                                .groups = "n_group",
                                .groups_used = "topk_group"},
                               config));
  ASSIGN_OR_RETURN(const bool normed, fields.flag("use_qk_norm", true));
  if (!normed) return fields.unsupported("use_qk_norm", "models without it are not supported");
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "bailing_moe",
                                    .architecture = "bailingmoe",
                                    .eps = 1e-6,
                                    .names = kNames,
                                    .top_names = kTop,
                                    .read = read}};
constexpr store::HfFamily kHf2[] = {{.model_type = "bailing_moe_v2",
                                     .architecture = "bailingmoe2",
                                     .eps = 1e-6,
                                     .partial_rotary = 0.5,
                                     .names = kNames,
                                     .top_names = kTop,
                                     .parameters = kParameters,
                                     .read = read_v2}};

}  // namespace

extern const Family kBailingMoe, kBailingMoe2;
constexpr Family kBailingMoe = {
    "bailingmoe",
    "Ling lite and plus 1 and 1.5",
    {.rope_interleaved = true, .experts = MoeOptions{.normalise = true}},
    kHf};
constexpr Family kBailingMoe2 = {
    "bailingmoe2",
    "Ling and Ring 2 (mini, flash, 1T)",
    {.qk_norm = true,
     .experts = MoeOptions{.scores = nn::RouterScores::kSigmoid, .normalise = true}},
    kHf2,
    nullptr,
    ThinkingSwitch::kAlways};

}  // namespace pippin::models
