// Granite 3 MoE: a Granite whose router weighs the chosen experts only; with shared experts in
// some.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"block_sparse_moe.router.layer", "ffn_gate_inp"},
                                        {"block_sparse_moe.input_linear", "ffn_gate_up_exps"},
                                        {"block_sparse_moe.output_linear", "ffn_down_exps"},
                                        {"shared_mlp.input_linear", "ffn_gate_up_shexp"},
                                        {"shared_mlp.output_linear", "ffn_down_shexp"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  return read_experts(fields, {.inner = {}, .shared_inner = "shared_intermediate_size"}, config);
}

constexpr store::HfFamily granite(std::string_view model_type) {
  return {.model_type = model_type,
          .architecture = "granitemoe",
          .eps = 1e-6,
          .attention_scale = "attention_multiplier",
          .embedding_scale = "embedding_multiplier",
          .residual_scale = "residual_multiplier",
          .logit_scale = "logits_scaling",
          .names = kNames,
          .read = read};
}
constexpr store::HfFamily kHf[] = {granite("granitemoe"), granite("granitemoeshared")};

}  // namespace

extern const Family kGraniteMoe;
constexpr Family kGraniteMoe = {
    "granitemoe",
    "Granite 3 MoE",
    {.rope_interleaved = true,
     .scales = true,
     .experts = MoeOptions{.scores = nn::RouterScores::kSelectedSoftmax}},
    kHf};

}  // namespace pippin::models
