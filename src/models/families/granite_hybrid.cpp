// Granite 4: Mamba 2 in most layers, attention without rotation in the others, Granite's factors,
// and experts beside a shared one, or that one alone.
#include <algorithm>

#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "models/families/granite.h"
#include "models/families/layer_types.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"mamba.in_proj", "ssm_in"},
                                        {"mamba.conv1d", "ssm_conv1d"},
                                        {"mamba.norm", "ssm_norm"},
                                        {"mamba.out_proj", "ssm_out"},
                                        {"block_sparse_moe.router", "ffn_gate_inp"},
                                        {"block_sparse_moe.router.layer", "ffn_gate_inp"},
                                        {"block_sparse_moe.input_linear", "ffn_gate_up_exps"},
                                        {"block_sparse_moe.output_linear", "ffn_down_exps"},
                                        {"shared_mlp.input_linear", "ffn_gate_up_shexp"},
                                        {"shared_mlp.output_linear", "ffn_down_shexp"}};
constexpr store::ModuleName kParameters[] = {
    {"mamba.A_log", "ssm_a"}, {"mamba.D", "ssm_d"}, {"mamba.dt_bias", "ssm_dt.bias"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read_mamba2(fields, config,
                              {.taps = "mamba_d_conv",
                               .state = "mamba_d_state",
                               .groups = "mamba_n_groups",
                               .heads = "mamba_n_heads",
                               .head_dim = "mamba_d_head",
                               .expand = "mamba_expand"}));
  ASSIGN_OR_RETURN(config.recurrent.layers, read_recurrent_layers(fields, config));
  ASSIGN_OR_RETURN(const std::string positions, fields.text("position_embedding_type", "nope"));
  if (positions != "rope") config.rope.dims = 0;
  ASSIGN_OR_RETURN(const int experts, fields.size("num_local_experts", 0, 1 << 14, 8));
  if (experts > 0)
    return read_experts(fields, {.inner = {}, .shared_inner = "shared_intermediate_size"}, config);
  ASSIGN_OR_RETURN(const int shared, fields.size("shared_intermediate_size", 1, 1 << 22, 1024));
  std::ranges::fill(config.feed_forward, shared);
  return {};
}

// Files say with this key alone whether attention is rotated.
void complete(store::ModelConfig& config) {
  if (!config.rope.finetuned) config.rope.dims = 0;
}

constexpr store::HfFamily hybrid() {
  store::HfFamily family = granite_folder("granitemoehybrid", "granitehybrid");
  family.names = kNames;
  family.parameters = kParameters;
  family.read = read;
  return family;
}
constexpr store::HfFamily kHf[] = {hybrid()};

}  // namespace

extern const Family kGraniteHybrid;
constexpr Family kGraniteHybrid = {
    "granitehybrid",
    "Granite 4 hybrids",
    {.rope_interleaved = true,
     .scales = true,
     .experts = MoeOptions{.scores = nn::RouterScores::kSelectedSoftmax},
     .recurrence = MixerKind::kMamba2},
    kHf,
    complete};

}  // namespace pippin::models
