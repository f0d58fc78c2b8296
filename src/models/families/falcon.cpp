// Falcon 1 and 2: layer norms, attention beside feed-forward, and a projection that has the queries
// of each key, its key and its value behind each other. Larger ones have a norm for each of the
// two.
#include <algorithm>

#include "models/families/family.h"
#include "store/config_limits.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"transformer.word_embeddings", "token_embd"},
                                      {"transformer.ln_f", "output_norm"}};
constexpr store::ModuleName kNames[] = {{"ln_attn", "attn_norm_2"},
                                        {"ln_mlp", "attn_norm"},
                                        {"self_attention.query_key_value", "attn_qkv_heads"},
                                        {"self_attention.dense", "attn_output"},
                                        {"mlp.dense_h_to_4h", "ffn_up"},
                                        {"mlp.dense_4h_to_h", "ffn_down"}};
constexpr store::FieldName kFields[] = {{"intermediate_size", "ffn_hidden_size"},
                                        {"hidden_act", "activation"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(const bool parallel, fields.flag("parallel_attn", true));
  ASSIGN_OR_RETURN(const bool newer, fields.flag("new_decoder_architecture", false));
  if (!parallel && !newer) return fields.unsupported("parallel_attn", "expected true");
  ASSIGN_OR_RETURN(const bool one, fields.flag("multi_query", true));
  const int heads = config.heads.front();
  int kv_heads = one ? 1 : heads;
  if (newer) {
    ASSIGN_OR_RETURN(kv_heads, fields.size("num_kv_heads", 1, heads, heads));
    if (heads % kv_heads != 0) return fields.wrong("num_kv_heads", "expected a divisor of heads");
  }
  std::ranges::fill(config.kv_heads, kv_heads);
  // Without the field, feed-forward layers are four times as wide as the model.
  if (!fields.has("intermediate_size"))
    std::ranges::fill(config.feed_forward, 4 * config.embedding_length);
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "falcon",
                                    .architecture = "falcon",
                                    .activation = "gelu",
                                    .feed_forward = 1,  // replaced
                                    .context = 2048,
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .eps_field = "layer_norm_epsilon",
                                    .names = kNames,
                                    .top_names = kTop,
                                    .layer_prefix = "transformer.h.",
                                    .fields = kFields,
                                    .read = read}};

}  // namespace

extern const Family kFalcon;
constexpr Family kFalcon = {"falcon",
                            "Falcon 1 and 2 (7B, 11B, 40B, 180B)",
                            {.parallel = true, .gate = nn::Gate::kGelu, .gated = false},
                            kHf};

}  // namespace pippin::models
