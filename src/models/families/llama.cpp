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
constexpr Family kLlama = {"llama", {.rope_interleaved = true}, kHf};

}  // namespace pippin::models
