// GPT-2: learned positions, layer norms, merged projections whose weights transformers keeps [K,
// N].
#include <algorithm>

#include "models/families/family.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"transformer.wte", "token_embd"},
                                      {"transformer.wpe", "position_embd"},
                                      {"transformer.ln_f", "output_norm"}};
constexpr store::ModuleName kNames[] = {
    {"ln_1", "attn_norm"}, {"attn.c_attn", "attn_qkv"}, {"attn.c_proj", "attn_output"},
    {"ln_2", "ffn_norm"},  {"mlp.c_fc", "ffn_up"},      {"mlp.c_proj", "ffn_down"},
};
constexpr std::string_view kTransposed[] = {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"};
constexpr std::string_view kIgnored[] = {".attn.bias", ".attn.masked_bias"};
constexpr store::FieldName kFields[] = {
    {"hidden_size", "n_embd"},         {"num_hidden_layers", "n_layer"},
    {"num_attention_heads", "n_head"}, {"max_position_embeddings", "n_positions"},
    {"intermediate_size", "n_inner"},  {"hidden_act", "activation_function"}};

// Without n_inner, feed-forward layers are four times as wide as the model.
Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  config.rope.dims = 0;
  if (!fields.has("intermediate_size"))
    std::ranges::fill(config.feed_forward, 4 * config.embedding_length);
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn"}) {
    ASSIGN_OR_RETURN(const bool set, fields.flag(key, false));
    if (set) return fields.unsupported(key, "it is not supported");
  }
  ASSIGN_OR_RETURN(const bool scaled, fields.flag("scale_attn_weights", true));
  if (!scaled) config.attention_scale = 1;
  return {};
}

void complete(store::ModelConfig& config) { config.rope.dims = 0; }

constexpr store::HfFamily kHf[] = {{.model_type = "gpt2",
                                    .architecture = "gpt2",
                                    .activation = "gelu_new",
                                    .feed_forward = 1,  // replaced
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .eps_field = "layer_norm_epsilon",
                                    .names = kNames,
                                    .top_names = kTop,
                                    .layer_prefix = "transformer.h.",
                                    .transposed = kTransposed,
                                    .ignored = kIgnored,
                                    .fields = kFields,
                                    .read = read}};

}  // namespace

extern const Family kGpt2;
constexpr Family kGpt2 = {"gpt2",
                          "GPT-2",
                          {.learned_positions = true, .gate = nn::Gate::kGeluTanh, .gated = false},
                          kHf,
                          complete};

}  // namespace pippin::models
