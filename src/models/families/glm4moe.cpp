// GLM 4.5 to 4.7: experts by sigmoids with a selection bias, some layers without them first, part
// of each head rotated, norms of heads in the larger ones.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"post_attention_layernorm", "post_attention_norm"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  return read_experts(fields,
                      {.shared = "n_shared_experts",
                       .normalise = "norm_topk_prob",
                       .normalise_unsaid = true,
                       .scale = "routed_scaling_factor",
                       .groups = "n_group",
                       .groups_used = "topk_group"},
                      config);
}

constexpr store::HfFamily kHf[] = {{.model_type = "glm4_moe",
                                    .architecture = "glm4moe",
                                    .eps = 1e-5,
                                    .partial_rotary = 0.5,
                                    .names = kNames,
                                    .read = read},
                                   {.model_type = "solar_open",
                                    .architecture = "glm4moe",
                                    .feed_forward = 10240,  // of layers that it does not have
                                    .head_dim = 128,
                                    .eps = 1e-5,
                                    .rope_base = 1e6,
                                    .names = kNames,
                                    .read = read}};

}  // namespace

extern const Family kGlm4Moe;
constexpr Family kGlm4Moe = {
    "glm4moe",
    "GLM 4.5, 4.5 Air, 4.6, 4.7, Solar Open",
    {.qk_norm_if_there = true,
     .feed_forward_norm = "post_attention_norm",
     .experts = MoeOptions{.scores = nn::RouterScores::kSigmoid, .normalise = true}},
    kHf,
    nullptr,
    ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
