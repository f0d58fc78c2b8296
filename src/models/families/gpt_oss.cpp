// gpt-oss: sinks, a window in every other layer, biases everywhere, and experts whose gate and up
// rows lie in turns, in MXFP4 or as [K, N].
#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "store/config_limits.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"post_attention_layernorm", "post_attention_norm"},
                                        {"mlp.router", "ffn_gate_inp"},
                                        {"mlp.experts.gate_up_proj", "ffn_gate_up_pairs_exps"}};
constexpr std::string_view kTransposed[] = {"mlp.experts.gate_up_proj", "mlp.experts.down_proj"};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  // What the gate is made of.
  for (const auto& [key, value] : {std::pair("swiglu_alpha", 1.702), {"swiglu_limit", 7.0}}) {
    ASSIGN_OR_RETURN(const double given, fields.number(key, 0, store::kScaleMax, value));
    if (given != value) return fields.unsupported(key, "another value is not supported");
  }
  return read_experts(fields, {.inner = {}}, config);
}

// GGUF files do not say that YaRN's borders are no whole numbers.
void complete(store::ModelConfig& config) { config.rope.yarn_truncate = false; }

constexpr store::HfFamily kHf[] = {{.model_type = "gpt_oss",
                                    .architecture = "gpt-oss",
                                    .qkv_bias = true,
                                    .head_dim = 64,
                                    .eps = 1e-5,
                                    .window = 128,
                                    .window_period = 2,
                                    .window_rule = store::WindowRule::kPeriod,
                                    .names = kNames,
                                    .transposed = kTransposed,
                                    .read = read}};

}  // namespace

extern const Family kGptOss;
constexpr Family kGptOss = {"gpt-oss",
                            "gpt-oss 20b and 120b",
                            {.gate = nn::Gate::kSwigluOai,
                             .feed_forward_norm = "post_attention_norm",
                             .experts = MoeOptions{.scores = nn::RouterScores::kSelectedSoftmax},
                             .window_period = 2},
                            kHf,
                            complete,
                            ThinkingSwitch::kEffort};

}  // namespace pippin::models
