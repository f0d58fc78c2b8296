// Jamba: Mamba 1 in most layers, attention without rotation in the others.
#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "models/families/layer_types.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"model.final_layernorm", "output_norm"}};
constexpr store::ModuleName kNames[] = {{"pre_ff_layernorm", "ffn_norm"},
                                        {"feed_forward.gate_proj", "ffn_gate"},
                                        {"feed_forward.up_proj", "ffn_up"},
                                        {"feed_forward.down_proj", "ffn_down"},
                                        {"feed_forward.router", "ffn_gate_inp"},
                                        {"mamba.in_proj", "ssm_in"},
                                        {"mamba.conv1d", "ssm_conv1d"},
                                        {"mamba.x_proj", "ssm_x"},
                                        {"mamba.dt_proj", "ssm_dt"},
                                        {"mamba.out_proj", "ssm_out"},
                                        {"mamba.dt_layernorm", "ssm_dt_norm"},
                                        {"mamba.b_layernorm", "ssm_b_norm"},
                                        {"mamba.c_layernorm", "ssm_c_norm"}};
constexpr store::ModuleName kParameters[] = {{"mamba.A_log", "ssm_a"}, {"mamba.D", "ssm_d"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  constexpr int kMost = 1 << 16;
  store::RecurrentConfig& recurrent = config.recurrent;
  config.rope.dims = 0;
  ASSIGN_OR_RETURN(recurrent.conv_taps, fields.size("mamba_d_conv", 2, 8, 4));
  ASSIGN_OR_RETURN(recurrent.state, fields.size("mamba_d_state", 1, kMost, 16));
  ASSIGN_OR_RETURN(const int expand, fields.size("mamba_expand", 1, 64, 2));
  recurrent.inner = expand * config.embedding_length;
  const int natural = (config.embedding_length + 15) / 16;
  recurrent.time_step_rank = natural;
  if (!fields.text("mamba_dt_rank").ok()) {  // else "auto"
    ASSIGN_OR_RETURN(recurrent.time_step_rank, fields.size("mamba_dt_rank", 1, kMost, natural));
  }
  ASSIGN_OR_RETURN(const int period, fields.size("attn_layer_period", 1, kMost, 8));
  ASSIGN_OR_RETURN(const int offset, fields.size("attn_layer_offset", 0, kMost, 4));
  for (int i = 0; i < config.layers; ++i) recurrent.layers.push_back(i % period != offset);
  ASSIGN_OR_RETURN(const int experts, fields.size("num_experts", 1, 1 << 14, 16));
  return experts > 1 ? read_experts(fields, {.inner = {}}, config) : Result<void>();
}

void complete(store::ModelConfig& config) { config.rope.dims = 0; }

constexpr store::HfFamily kHf[] = {{.model_type = "jamba",
                                    .architecture = "jamba",
                                    .kv_heads = 8,
                                    .context = 262144,
                                    .eps = 1e-6,
                                    .names = kNames,
                                    .top_names = kTop,
                                    .parameters = kParameters,
                                    .read = read}};

}  // namespace

extern const Family kJamba;
constexpr Family kJamba = {
    "jamba", "Jamba", {.experts = MoeOptions{}, .recurrence = MixerKind::kMamba}, kHf, complete};

}  // namespace pippin::models
