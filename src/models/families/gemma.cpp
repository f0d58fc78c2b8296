// Gemma 1: a GELU gate, embeddings times sqrt(E), and norms whose weights are offsets from one.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "gemma",
                                    .architecture = "gemma",
                                    .activation = "gelu_pytorch_tanh",
                                    .activation_alias = "gelu",
                                    .vocab = 256000,
                                    .width = 3072,
                                    .feed_forward = 24576,
                                    .layers = 28,
                                    .heads = 16,
                                    .kv_heads = 16,
                                    .head_dim = 256,
                                    .context = 8192,
                                    .eps = 1e-6,
                                    .to_gguf = true}};

}  // namespace

extern const Family kGemma;
constexpr Family kGemma = {
    "gemma",
    "Gemma 1",
    {.norm_offset = 1.0f, .scale_embedding = true, .gate = nn::Gate::kGeluTanh},
    kHf};

}  // namespace pippin::models
