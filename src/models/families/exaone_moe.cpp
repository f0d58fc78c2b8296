// K-EXAONE: experts by sigmoids with a selection bias beside shared ones, norms of heads; where
// some layers have a window, the others have no rope.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"mlp.e_score_correction", "exp_probs_b"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  return read_experts(fields,
                      {.shared = "num_shared_experts",
                       .normalise = "norm_topk_prob",
                       .normalise_unsaid = true,
                       .scale = "routed_scaling_factor",
                       .groups = "n_group",
                       .groups_used = "topk_group"},
                      config);
}

constexpr std::string_view kIgnored[] = {"mtp."};  // layers that predict further tokens
constexpr store::HfFamily kHf[] = {{.model_type = "exaone_moe",
                                    .architecture = "exaone-moe",
                                    .eps = 1e-5,
                                    .window = 4096,
                                    .window_period = 4,
                                    .window_rule = store::WindowRule::kPeriod,
                                    .names = kNames,
                                    .ignored = kIgnored,
                                    .read = read}};

}  // namespace

extern const Family kExaoneMoe;
constexpr Family kExaoneMoe = {
    "exaone-moe",
    "K-EXAONE (236B-A23B)",
    {.rope_windows_only = true,
     .qk_norm = true,
     .experts = MoeOptions{.scores = nn::RouterScores::kSigmoid, .normalise = true},
     .window_period = 4},
    kHf,
    nullptr,
    ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
