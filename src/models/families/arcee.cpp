// Arcee: a llama without a gate, whose activation is a squared ReLU.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "arcee",
                                    .architecture = "arcee",
                                    .activation = "relu2",
                                    .eps = 1e-5,
                                    .to_gguf = true}};

}  // namespace

extern const Family kArcee;
constexpr Family kArcee = {
    "arcee",
    "Arcee AFM",
    {.rope_interleaved = true, .gate = nn::Gate::kReluSquared, .gated = false},
    kHf};

}  // namespace pippin::models
