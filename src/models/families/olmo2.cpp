// OLMo 2: norms behind attention and feed-forward in place of before them, and of q and k over all
// heads together.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"post_attention_layernorm", "post_attention_norm"}};
constexpr store::HfFamily kHf[] = {
    {.model_type = "olmo2", .architecture = "olmo2", .eps = 1e-5, .names = kNames}};

}  // namespace

extern const Family kOlmo2;
constexpr Family kOlmo2 = {
    "olmo2", {.wide_qk_norm = true, .pre_norms = false, .post_norms = true}, kHf};

}  // namespace pippin::models
