// OLMo 2 and 3: norms behind attention and feed-forward in place of before them, and of q and k
// over all heads together. OLMo 3 has windows in three layers of four.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"post_attention_layernorm", "post_attention_norm"}};
constexpr store::HfFamily kHf[] = {
    {.model_type = "olmo2", .architecture = "olmo2", .eps = 1e-5, .names = kNames, .to_gguf = true},
    {.model_type = "olmo3",
     .architecture = "olmo2",
     .eps = 1e-5,
     .window = 4096,
     .window_period = 4,
     .window_rule = store::WindowRule::kPeriod,
     .names = kNames,
     .to_gguf = true}};

}  // namespace

extern const Family kOlmo2;
constexpr Family kOlmo2 = {"olmo2",
                           "OLMo 2 and 3",
                           {.rope_windows_unscaled = true,
                            .wide_qk_norm = true,
                            .pre_norms = false,
                            .post_norms = true,
                            .window_period = 4},
                           kHf};

}  // namespace pippin::models
