// Gemma 3n: alternating updates of several residual streams, a learned residual beside attention,
// gates that are zero but for their largest values, and what Gemma 4 has of shared keys and
// embeddings for each layer.
#include <algorithm>
#include <cmath>
#include <limits>

#include "models/families/family.h"
#include "models/families/shared_layers.h"
#include "store/config_limits.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"model.embed_tokens_per_layer", "per_layer_token_embd"},
                                      {"model.per_layer_model_projection", "per_layer_model_proj"},
                                      {"model.per_layer_projection_norm", "per_layer_proj_norm"},
                                      {"model.altup_projections.0", "altup_proj.0"},
                                      {"model.altup_projections.1", "altup_proj.1"},
                                      {"model.altup_projections.2", "altup_proj.2"},
                                      {"model.altup_unembed_projections.0", "altup_unembd_proj.0"},
                                      {"model.altup_unembed_projections.1", "altup_unembd_proj.1"},
                                      {"model.altup_unembed_projections.2", "altup_unembd_proj.2"}};
constexpr store::ModuleName kNames[] = {{"post_attention_layernorm", "post_attention_norm"},
                                        {"per_layer_input_gate", "inp_gate"},
                                        {"per_layer_projection", "proj"},
                                        {"post_per_layer_input_norm", "post_norm"},
                                        {"altup.modality_router", "altup_router"},
                                        {"altup.router_norm", "altup_router_norm"},
                                        {"altup.prediction_coefs", "altup_predict_coef"},
                                        {"altup.correction_coefs", "altup_correct_coef"},
                                        {"laurel.linear_left", "laurel_l"},
                                        {"laurel.linear_right", "laurel_r"},
                                        {"laurel.post_laurel_norm", "laurel_post_norm"}};
constexpr store::ModuleName kParameters[] = {
    {"altup.correct_output_scale", "altup_correct_scale.weight"}};

// Which value a share of a standard normal distribution lies below, by bisection.
double normal_quantile(double share) {
  double low = -40, high = 40;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < share ? low : high) = middle;
  }
  return low;
}

Result<void> read_sparsity(const store::HfFields& fields, store::ModelConfig& config) {
  constexpr const char* kKey = "activation_sparsity_pattern";
  const auto layers = static_cast<size_t>(config.layers);
  std::vector<double> shares(layers, 0.0);
  if (fields.length(kKey)) {
    ASSIGN_OR_RETURN(shares, fields.numbers(kKey, layers));
  } else if (fields.has(kKey)) {
    ASSIGN_OR_RETURN(const double all, fields.number(kKey, 0, 1));
    shares.assign(layers, all);
  } else if (layers > 10) {
    std::fill_n(shares.begin(), 10, 0.95);
  }
  for (const double share : shares) {
    if (!(share >= 0 && share < 1)) return fields.wrong(kKey, "expected shares from 0 up to 1");
    config.gate_deviations.push_back(share > 0 ? static_cast<float>(normal_quantile(share))
                                               : -std::numeric_limits<float>::infinity());
  }
  return {};
}

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  config.attention_scale = 1;
  if (!fields.has("final_logit_softcapping")) config.logit_soft_cap = 30;
  RETURN_IF_ERROR(
      read_shared_layers(fields, {.shared = 15, .input = 256, .vocab = 262144}, config));
  store::StreamConfig& streams = config.streams;
  ASSIGN_OR_RETURN(streams.count, fields.size("altup_num_inputs", 2, 4, 4));
  ASSIGN_OR_RETURN(streams.active, fields.size("altup_active_idx", 0, streams.count - 1, 0));
  ASSIGN_OR_RETURN(streams.laurel_rank, fields.size("laurel_rank", 1, store::kWidthMax, 64));
  RETURN_IF_ERROR(fields.number("altup_coef_clip", 0, store::kScaleMax, 0));  // of training alone
  ASSIGN_OR_RETURN(const bool scaled, fields.flag("altup_correct_scale", true));
  if (!scaled)
    return fields.unsupported("altup_correct_scale", "models without it are not supported");
  return read_sparsity(fields, config);
}

void complete(store::ModelConfig& config) { config.attention_scale = 1; }

constexpr store::HfFamily kHf[] = {{.model_type = "gemma3n_text",
                                    .architecture = "gemma3n",
                                    .part_of = "gemma3n",
                                    .activation = "gelu_pytorch_tanh",
                                    .vocab = 262400,
                                    .width = 2048,
                                    .feed_forward = 16384,
                                    .layers = 35,
                                    .heads = 8,
                                    .kv_heads = 2,
                                    .head_dim = 256,
                                    .context = 32768,
                                    .eps = 1e-6,
                                    .rope_base = 1e6,
                                    .window_rope_base = 10000,
                                    .window = 512,
                                    .window_period = 5,
                                    .window_rule = store::WindowRule::kPeriod,
                                    .names = kNames,
                                    .top_names = kTop,
                                    .parameters = kParameters,
                                    .read = read}};

}  // namespace

extern const Family kGemma3n;
constexpr Family kGemma3n = {"gemma3n",
                             "Gemma 3n (E2B, E4B), text",
                             {.rope_windows_unscaled = true,
                              .qk_norm = true,
                              .post_norms = true,
                              .scale_embedding = true,
                              .gate = nn::Gate::kGeluTanh,
                              .value_norm = true,
                              .window_period = 5,
                              .window_rope_base = 10000.0f},
                             kHf,
                             complete};

}  // namespace pippin::models
