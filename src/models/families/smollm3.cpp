// SmolLM 3: a llama in which every fourth layer has no rope.
#include "models/families/family.h"
#include "models/families/layer_types.h"

namespace pippin::models {
namespace {

Result<void> read_layers(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(config.rope.layers, read_rotated_layers(fields, config));
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "smollm3",
                                    .architecture = "smollm3",
                                    .eps = 1e-6,
                                    .rope_base = 2e6,
                                    .window_rule = store::WindowRule::kFlag,
                                    .to_gguf = true,
                                    .read = read_layers}};

}  // namespace

extern const Family kSmolLm3;
constexpr Family kSmolLm3 = {
    "smollm3", "SmolLM 3", {.rope_interleaved = true, .rope_skip_period = 4},
    kHf,       nullptr,    ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
