// Granite 3: a llama with factors of embeddings, scores, residuals and logits.
#include "models/families/granite.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily dense() {
  store::HfFamily family = granite_folder("granite", "granite");
  family.to_gguf = true;
  return family;
}
constexpr store::HfFamily kHf[] = {dense()};

}  // namespace

extern const Family kGranite;
constexpr Family kGranite = {
    "granite", "Granite 3 dense", {.rope_interleaved = true, .scales = true},
    kHf,       nullptr,           ThinkingSwitch::kThinking};

}  // namespace pippin::models
