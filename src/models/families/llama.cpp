// Llama, and what is built like it: SmolLM, Mistral, Mixtral, ...
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kMixtralNames[] = {{"block_sparse_moe.gate", "ffn_gate_inp"}};

Result<void> read_mixtral(const store::HfFields& fields, store::ModelConfig& config) {
  return read_experts(fields, {.inner = {}}, config);
}

// Meta's Code World Model: its windows begin behind the first layer of four.
Result<void> read_cwm(const store::HfFields& fields, store::ModelConfig& config) {
  if (config.sliding_window == 0 || fields.has("layer_types")) return {};
  for (size_t i = 0; i < config.windowed_layers.size(); ++i) config.windowed_layers[i] = i % 4 != 0;
  return {};
}

constexpr store::HfFamily kHf[] = {
    {.model_type = "llama", .architecture = "llama", .to_gguf = true},
    {.model_type = "mistral", .architecture = "llama", .to_gguf = true},
    {.model_type = "ministral", .architecture = "llama", .eps = 1e-6, .window = 4096},
    {.model_type = "cwm",
     .architecture = "llama",
     .head_dim = 128,
     .eps = 1e-5,
     .rope_base = 1e6,
     .read = read_cwm},
    {.model_type = "mixtral",
     .architecture = "llama",
     .eps = 1e-5,
     .names = kMixtralNames,
     .to_gguf = true,
     .read = read_mixtral},
};

}  // namespace

extern const Family kLlama;
constexpr Family kLlama = {
    "llama",
    "Llama 1 to 3.3, SmolLM 1 and 2, Mistral 7B to Small, Mixtral, TinyLlama, Yi, R1 distills, CWM",
    {.rope_interleaved = true, .experts = MoeOptions{.normalise = true}},
    kHf};

}  // namespace pippin::models
