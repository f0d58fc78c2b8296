// Mamba 1 and Falcon Mamba: selective scans alone; the latter norms step sizes, B and C.
#include <algorithm>

#include "models/families/family.h"
#include "models/families/layer_types.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"model.embeddings", "token_embd"},
                                      {"model.norm_f", "output_norm"}};
constexpr store::ModuleName kNames[] = {
    {"norm", "attn_norm"},     {"mixer.in_proj", "ssm_in"}, {"mixer.conv1d", "ssm_conv1d"},
    {"mixer.x_proj", "ssm_x"}, {"mixer.dt_proj", "ssm_dt"}, {"mixer.out_proj", "ssm_out"}};
constexpr store::ModuleName kParameters[] = {{"mixer.A_log", "ssm_a"}, {"mixer.D", "ssm_d"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  constexpr int kMost = 1 << 18;
  store::RecurrentConfig& recurrent = config.recurrent;
  ASSIGN_OR_RETURN(recurrent.conv_taps, fields.size("conv_kernel", 2, 8, 4));
  ASSIGN_OR_RETURN(recurrent.state, fields.size("state_size", 1, kMost, 16));
  ASSIGN_OR_RETURN(const int expand, fields.size("expand", 1, kMost, 2));
  ASSIGN_OR_RETURN(recurrent.inner,
                   fields.size("intermediate_size", 1, kMost, expand * config.embedding_length));
  const int natural = (config.embedding_length + 15) / 16;
  recurrent.time_step_rank = natural;
  if (!fields.text("time_step_rank").ok()) {  // else "auto"
    ASSIGN_OR_RETURN(recurrent.time_step_rank, fields.size("time_step_rank", 1, kMost, natural));
  }
  recurrent.layers.assign(static_cast<size_t>(config.layers), true);
  std::ranges::fill(config.feed_forward, 0);
  leave_out_attention(config);
  return {};
}

Result<void> read_falcon(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read(fields, config));
  config.recurrent.step_norms = true;
  ASSIGN_OR_RETURN(const double eps, fields.number("mixer_rms_eps", 0, 0.1, 1e-6));
  config.recurrent.step_norm_eps = static_cast<float>(eps);
  return {};
}

constexpr store::HfFamily kMamba1 = {.model_type = "mamba",
                                     .architecture = "mamba",
                                     .feed_forward = 1,
                                     .heads = 1,
                                     .head_dim = 64,
                                     .context = 1 << 20,
                                     .eps = 1e-5,
                                     .eps_field = "layer_norm_epsilon",
                                     .names = kNames,
                                     .top_names = kTop,
                                     .parameters = kParameters,
                                     .read = read};
constexpr store::HfFamily falcon_mamba() {
  store::HfFamily family = kMamba1;
  family.model_type = "falcon_mamba";
  family.read = read_falcon;
  return family;
}
constexpr store::HfFamily kHf[] = {kMamba1, falcon_mamba()};

}  // namespace

extern const Family kMamba;
constexpr Family kMamba = {
    "mamba", "Mamba 1, Falcon Mamba", {.recurrence = MixerKind::kMamba}, kHf};

}  // namespace pippin::models
