// Cohere: layer norms without biases, attention and feed-forward side by side, logits times a
// factor. Command R, and Command R7B, whose layers without a window have no rope.
#include "models/families/family.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

Result<void> refuse_qk_norm(const store::HfFields& fields, store::ModelConfig& /*config*/) {
  ASSIGN_OR_RETURN(const bool normed, fields.flag("use_qk_norm", false));
  if (normed)
    return fields.unsupported("use_qk_norm", "norms of each head apart are not supported");
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "cohere",
                                    .architecture = "command-r",
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .eps_field = "layer_norm_eps",
                                    .logit_scale = "logit_scale",
                                    .to_gguf = true,
                                    .read = refuse_qk_norm}};
constexpr store::HfFamily kHf2[] = {{.model_type = "cohere2",
                                     .architecture = "cohere2",
                                     .eps = 1e-5,
                                     .layer_norm = true,
                                     .eps_field = "layer_norm_eps",
                                     .window = 4096,
                                     .window_period = 4,
                                     .window_rule = store::WindowRule::kPeriod,
                                     .logit_scale = "logit_scale",
                                     .to_gguf = true}};

}  // namespace

extern const Family kCohere;
constexpr Family kCohere = {"command-r",
                            "Command R",
                            {.rope_pairs = true, .parallel = true, .logit_multiplier = true},
                            kHf};

extern const Family kCohere2;
constexpr Family kCohere2 = {"cohere2",
                             "Command R7B, Command A",
                             {.rope_pairs = true,
                              .rope_windows_only = true,
                              .parallel = true,
                              .logit_multiplier = true,
                              .window_period = 4},
                             kHf2};

}  // namespace pippin::models
