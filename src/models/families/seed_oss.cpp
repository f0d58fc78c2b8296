// Seed-OSS: a llama whose q, k and v have biases.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kGguf[] = {{"post_attention_layernorm", "post_attention_norm"}};
constexpr store::HfFamily kHf[] = {{.model_type = "seed_oss",
                                    .architecture = "seed_oss",
                                    .head_dim = 128,
                                    .eps = 1e-6,
                                    .names = kGguf,
                                    .to_gguf = true}};

}  // namespace

extern const Family kSeedOss;
// GGUF names the norm before feed-forward after what it follows.
constexpr Family kSeedOss = {"seed_oss", "Seed-OSS", {.feed_forward_norm = "post_attention_norm"},
                             kHf,        nullptr,    ThinkingSwitch::kBudget};

}  // namespace pippin::models
