// Qwen 2 and 2.5: a llama whose q, k and v have biases.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {
    {.model_type = "qwen2", .architecture = "qwen2", .qkv_bias = true, .window_by_flag = true}};

}  // namespace

extern const Family kQwen2;
constexpr Family kQwen2 = {"qwen2", {}, kHf};

}  // namespace pippin::models
