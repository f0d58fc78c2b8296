// Llama, and what is built like it: SmolLM, Mistral, Mixtral, ...
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kMixtralNames[] = {{"block_sparse_moe.gate", "ffn_gate_inp"}};

Result<void> read_mixtral(const store::HfFields& fields, store::ModelConfig& config) {
  return read_experts(fields, {.inner = {}}, config);
}

constexpr store::HfFamily kHf[] = {
    {.model_type = "llama", .architecture = "llama"},
    {.model_type = "mistral", .architecture = "llama"},
    {.model_type = "mixtral",
     .architecture = "llama",
     .eps = 1e-5,
     .names = kMixtralNames,
     .read = read_mixtral},
};

}  // namespace

extern const Family kLlama;
constexpr Family kLlama = {
    "llama",
    "Llama 1 to 3.3, SmolLM 1 and 2, Mistral 7B to Small, Mixtral, TinyLlama, Yi, R1 distills",
    {.rope_interleaved = true, .experts = MoeOptions{.normalise = true}},
    kHf};

}  // namespace pippin::models
