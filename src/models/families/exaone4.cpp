// EXAONE 4: norms behind the blocks alone, and of each head; where some layers have a window, the
// others have no rope.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"post_attention_layernorm", "post_attention_norm"}};
constexpr store::HfFamily kHf[] = {{.model_type = "exaone4",
                                    .architecture = "exaone4",
                                    .eps = 1e-5,
                                    .window_period = 4,
                                    .window_rule = store::WindowRule::kPeriod,
                                    .names = kNames}};

}  // namespace

extern const Family kExaone4;
constexpr Family kExaone4 = {"exaone4",
                             "EXAONE 4",
                             {.rope_windows_only = true,
                              .qk_norm = true,
                              .pre_norms = false,
                              .post_norms = true,
                              .window_period = 4},
                             kHf,
                             nullptr,
                             ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
