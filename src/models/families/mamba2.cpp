// Mamba 2: state-space layers alone.
#include <algorithm>

#include "models/families/family.h"
#include "models/families/layer_types.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"model.embeddings", "token_embd"},
                                      {"model.norm_f", "output_norm"}};
constexpr store::ModuleName kNames[] = {{"norm", "attn_norm"},
                                        {"mixer.in_proj", "ssm_in"},
                                        {"mixer.conv1d", "ssm_conv1d"},
                                        {"mixer.norm", "ssm_norm"},
                                        {"mixer.out_proj", "ssm_out"}};
constexpr store::ModuleName kParameters[] = {
    {"mixer.A_log", "ssm_a"}, {"mixer.D", "ssm_d"}, {"mixer.dt_bias", "ssm_dt.bias"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read_mamba2(fields, config,
                              {.taps = "conv_kernel",
                               .state = "state_size",
                               .groups = "n_groups",
                               .heads = "num_heads",
                               .head_dim = "head_dim",
                               .expand = "expand"}));
  config.recurrent.layers.assign(static_cast<size_t>(config.layers), true);
  std::ranges::fill(config.feed_forward, 0);
  leave_out_attention(config);
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "mamba2",
                                    .architecture = "mamba2",
                                    .feed_forward = 1,
                                    .heads = 1,
                                    .head_dim = 64,
                                    .context = 1 << 20,
                                    .eps = 1e-5,
                                    .eps_field = "layer_norm_epsilon",
                                    .names = kNames,
                                    .top_names = kTop,
                                    .parameters = kParameters,
                                    .read = read}};

}  // namespace

extern const Family kMamba2;
constexpr Family kMamba2 = {
    "mamba2", "Mamba 2, Codestral Mamba", {.recurrence = MixerKind::kMamba2}, kHf};

}  // namespace pippin::models
