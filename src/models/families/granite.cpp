// Granite 3: a llama with factors of embeddings, scores, residuals and logits.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "granite",
                                    .architecture = "granite",
                                    .eps = 1e-6,
                                    .attention_scale = "attention_multiplier",
                                    .embedding_scale = "embedding_multiplier",
                                    .residual_scale = "residual_multiplier",
                                    .logit_scale = "logits_scaling",
                                    .to_gguf = true}};

}  // namespace

extern const Family kGranite;
constexpr Family kGranite = {
    "granite", "Granite 3 dense", {.rope_interleaved = true, .scales = true},
    kHf,       nullptr,           ThinkingSwitch::kThinking};

}  // namespace pippin::models
