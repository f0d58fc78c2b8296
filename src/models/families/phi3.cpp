// Phi 3, 3.5 and 4: a llama with merged projections, LongRoPE and a window in every layer.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {
    {.model_type = "phi3", .architecture = "phi3", .eps = 1e-5, .to_gguf = true}};

}  // namespace

extern const Family kPhi3;
constexpr Family kPhi3 = {"phi3",  "Phi 3, 3.5, 4, 4 mini", {}, kHf,
                          nullptr, ThinkingSwitch::kAlways};

}  // namespace pippin::models
