// dots.llm1: experts by sigmoids with a selection bias beside shared ones, some layers without them
// first, norms of heads.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  return read_experts(fields,
                      {.shared = "n_shared_experts",
                       .normalise = "norm_topk_prob",
                       .scale = "routed_scaling_factor",
                       .groups = "n_group",
                       .groups_used = "topk_group"},
                      config);
}

constexpr store::HfFamily kHf[] = {{.model_type = "dots1", .architecture = "dots1", .read = read}};

}  // namespace

extern const Family kDots1;
constexpr Family kDots1 = {
    "dots1",
    "dots.llm1",
    {.qk_norm = true, .experts = MoeOptions{.scores = nn::RouterScores::kSigmoid}},
    kHf};

}  // namespace pippin::models
