// Granite 3 MoE: a Granite whose router weighs the chosen experts only; with shared experts in
// some.
#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "models/families/granite.h"

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

constexpr store::HfFamily with_experts(std::string_view model_type) {
  store::HfFamily family = granite_folder(model_type, "granitemoe");
  family.names = kNames;
  family.read = read;
  return family;
}
constexpr store::HfFamily kHf[] = {with_experts("granitemoe"), with_experts("granitemoeshared")};

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
