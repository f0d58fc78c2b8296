// Cohere 2 MoE: a Cohere 2 with experts behind its first layers, which are dense. Shared experts
// count as much as all chosen ones; norms may be RMS norms.
#include <algorithm>

#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "store/config_limits.h"

namespace pippin::models {
namespace {

// Where the file does not say, every n-th layer sees all positions, the others these.
constexpr int kPeriod = 4, kWindow = 4096;
constexpr float kLogitScale = 0.0625f;

Result<void> read_norm(const store::HfFields& fields, store::ModelConfig& config) {
  constexpr const char* kRms = "rms_norm_eps";
  if (!fields.has(kRms)) return {};
  ASSIGN_OR_RETURN(const double eps, fields.number(kRms, 0, store::kNormEpsMax));
  config.norm = store::NormKind::kRms;
  config.norm_eps = static_cast<float>(eps);
  return {};
}

Result<void> read_router(const store::HfFields& fields, store::ModelConfig& config) {
  constexpr const char *kScores = "expert_selection_fn",
                       *kShared = "shared_expert_combination_strategy";
  ASSIGN_OR_RETURN(const std::string scores, fields.text(kScores, "softmax"));
  if (scores != "softmax" && scores != "sigmoid")
    return fields.unsupported(kScores, "expected softmax or sigmoid");
  config.experts.gating =
      scores == "softmax" ? store::ExpertGating::kSelectedSoftmax : store::ExpertGating::kSigmoid;
  ASSIGN_OR_RETURN(const std::string shared, fields.text(kShared, "average"));
  if (shared != "average" && shared != "sum")
    return fields.unsupported(kShared, "expected average or sum");
  config.experts.shared_mean = shared == "average";
  return {};
}

Result<int> read_dense_layers(const store::HfFields& fields, const store::ModelConfig& config) {
  constexpr const char* kTypes = "mlp_layer_types";
  if (!fields.has(kTypes)) return fields.size("first_k_dense_replace", 0, config.layers, 0);
  ASSIGN_OR_RETURN(const std::vector<std::string> types,
                   fields.texts(kTypes, static_cast<size_t>(config.layers)));
  const auto first = std::ranges::find_if(types, [](auto& type) { return type != "dense"; });
  if (std::any_of(first, types.end(), [](auto& type) { return type != "sparse"; }))
    return fields.unsupported(kTypes, "expected dense layers first, then sparse ones");
  return static_cast<int>(first - types.begin());
}

// Layers with a window are rotated, and the first ones, whose `count` is given.
void rotate_layers(store::ModelConfig& config, int count) {
  const std::vector<bool>& windowed = config.windowed_layers;
  for (size_t i = 0; i < static_cast<size_t>(config.layers); ++i)
    config.rope.layers.push_back(i < static_cast<size_t>(count) ||
                                 (config.sliding_window > 0 && windowed[i]));
}

Result<void> read_windows(const store::HfFields& fields, store::ModelConfig& config) {
  constexpr const char *kOwn = "sliding_window_pattern",
                       *kDense = "prefix_dense_sliding_window_pattern";
  const int dense = config.experts.leading_dense_layers;
  ASSIGN_OR_RETURN(const int dense_period, fields.size(kDense, 1, store::kLayersMax, 1));
  ASSIGN_OR_RETURN(const int period, fields.size(kOwn, 1, store::kLayersMax, kPeriod));
  config.windowed_layers.resize(static_cast<size_t>(config.layers));
  if (!fields.has("layer_types")) {  // dense layers and those behind them count apart
    for (int i = 0; i < config.layers; ++i)
      config.windowed_layers[static_cast<size_t>(i)] =
          i < dense ? (i + 1) % dense_period != 0 : (i - dense + 1) % period != 0;
    ASSIGN_OR_RETURN(config.sliding_window,
                     fields.size("sliding_window", 1, store::kContextMax, kWindow));
  }
  rotate_layers(config, dense_period == 1 ? dense : 0);
  return {};
}

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read_norm(fields, config));
  if (!fields.has("logit_scale")) config.logit_scale = kLogitScale;
  RETURN_IF_ERROR(read_experts(fields,
                               {.inner = "intermediate_size",
                                .shared = "num_shared_experts",
                                .normalise = "norm_topk_prob",
                                .normalise_unsaid = true},
                               config));
  RETURN_IF_ERROR(read_router(fields, config));
  store::ExpertConfig& experts = config.experts;
  ASSIGN_OR_RETURN(experts.leading_dense_layers, read_dense_layers(fields, config));
  ASSIGN_OR_RETURN(const int dense_inner,
                   fields.size("prefix_dense_intermediate_size", 1, store::kFeedForwardMax,
                               experts.feed_forward));
  std::fill_n(config.feed_forward.begin(), experts.leading_dense_layers, dense_inner);
  return read_windows(fields, config);
}

// Files that llama.cpp's converter writes have shared experts whose mean is taken, and softmaxes of
// the chosen experts.
void complete(store::ModelConfig& config) {
  store::ExpertConfig& experts = config.experts;
  experts.shared_mean = true;
  if (experts.gating == store::ExpertGating::kSoftmax)
    experts.gating = store::ExpertGating::kSelectedSoftmax;
  const int period = config.window_period > 0 ? config.window_period : kPeriod;
  if (config.windowed_layers.empty())
    for (int i = 1; i <= config.layers; ++i) config.windowed_layers.push_back(i % period != 0);
  rotate_layers(config, experts.leading_dense_layers);
}

constexpr store::HfFamily kHf[] = {{.model_type = "cohere2_moe",
                                    .architecture = "cohere2moe",
                                    .head_dim = 128,
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .eps_field = "layer_norm_eps",
                                    .window = kWindow,
                                    .window_period = kPeriod,
                                    .window_rule = store::WindowRule::kPeriod,
                                    .logit_scale = "logit_scale",
                                    .read = read}};

}  // namespace

extern const Family kCohere2Moe;
constexpr Family kCohere2Moe = {
    "cohere2moe",
    "Command A Plus",
    {.rope_pairs = true,
     .parallel = true,
     .logit_multiplier = true,
     .experts = MoeOptions{.scores = nn::RouterScores::kSigmoid, .normalise = true}},
    kHf,
    complete};

}  // namespace pippin::models
