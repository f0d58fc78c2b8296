// ERNIE 4.5: a llama that rotates pairs.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "ernie4_5",
                                    .architecture = "ernie4_5",
                                    .eps = 1e-5,
                                    .rope_base = 500000,
                                    .to_gguf = true}};

}  // namespace

extern const Family kErnie45;
constexpr Family kErnie45 = {"ernie4_5", "ERNIE 4.5 dense", {.rope_pairs = true}, kHf};

}  // namespace pippin::models
