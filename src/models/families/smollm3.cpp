// SmolLM 3: a llama in which every fourth layer has no rope.
#include "base/json_read.h"
#include "models/families/family.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

Result<void> read_layers(const store::HfFields& fields, store::ModelConfig& config) {
  std::vector<bool>& layers = config.rope.layers;
  const auto count = static_cast<size_t>(config.layers);
  const boost::json::array* given = array_in(fields.json(), "no_rope_layers");
  if (given == nullptr) {
    ASSIGN_OR_RETURN(const int period,
                     fields.size("no_rope_layer_interval", 1, config.layers + 1, 4));
    for (size_t i = 0; i < count; ++i) layers.push_back((i + 1) % static_cast<size_t>(period) != 0);
    return {};
  }
  if (given->size() != count)
    return fields.wrong("no_rope_layers", "expected a number for each layer");
  for (const boost::json::value& rotated : *given) layers.push_back(rotated != 0);
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "smollm3",
                                    .architecture = "smollm3",
                                    .eps = 1e-6,
                                    .rope_base = 2e6,
                                    .window_rule = store::WindowRule::kFlag,
                                    .read = read_layers}};

}  // namespace

extern const Family kSmolLm3;
constexpr Family kSmolLm3 = {
    "smollm3", "SmolLM 3", {.rope_interleaved = true, .rope_skip_period = 4}, kHf};

}  // namespace pippin::models
