// Ministral 3: a Mistral whose queries grow with the position, beyond the original context.
#include "models/families/family.h"
#include "models/families/layer_types.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "ministral3",
                                    .architecture = "mistral3",
                                    .head_dim = 128,
                                    .read = read_query_scale}};

}  // namespace

extern const Family kMinistral3;
constexpr Family kMinistral3 = {"mistral3",
                                "Ministral 3, Mistral Small 3.2 text",
                                {.rope_interleaved = true},
                                kHf,
                                nullptr,
                                ThinkingSwitch::kAlways};

}  // namespace pippin::models
