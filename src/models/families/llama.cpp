// Llama, and what is built like it: SmolLM, Mistral, ...
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {
    {.model_type = "llama", .architecture = "llama"},
    {.model_type = "mistral", .architecture = "llama"},
};

}  // namespace

extern const Family kLlama;
constexpr Family kLlama = {
    "llama",
    "Llama 1 to 3.3, SmolLM 1 and 2, Mistral 7B to Small, TinyLlama, Yi, R1 distills",
    {.rope_interleaved = true},
    kHf};

}  // namespace pippin::models
