// ERNIE 4.5 MoE: an ERNIE 4.5 with experts, chosen with a selection bias, beside shared ones.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"mlp.moe_statics.e_score_correction", "exp_probs_b"}};
constexpr store::FieldName kFields[] = {{"num_experts", "moe_num_experts"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  return read_experts(fields, {.used = "moe_k", .shared = "moe_num_shared_experts"}, config);
}

constexpr store::HfFamily kHf[] = {{.model_type = "ernie4_5_moe",
                                    .architecture = "ernie4_5-moe",
                                    .eps = 1e-5,
                                    .rope_base = 500000,
                                    .names = kNames,
                                    .fields = kFields,
                                    .read = read}};

}  // namespace

extern const Family kErnie45Moe;
constexpr Family kErnie45Moe = {"ernie4_5-moe",
                                "ERNIE 4.5 MoE (21B-A3B, 300B-A47B)",
                                {.rope_pairs = true, .experts = MoeOptions{.normalise = true}},
                                kHf,
                                nullptr,
                                ThinkingSwitch::kAlways};

}  // namespace pippin::models
