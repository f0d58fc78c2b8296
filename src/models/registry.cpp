// The table of text architectures. A family that differs from the others only in DecoderOptions is
// one row here.
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "models/model.h"
#include "models/text/decoder.h"

namespace pippin::models {
namespace {

struct Row {
  std::string_view architecture;  // GGUF's general.architecture
  DecoderOptions options;
};

// Converters to GGUF permute a llama's q and k, so that pairs are interleaved, and add to norms
// what the model adds.
DecoderOptions fit(DecoderOptions options, store::WeightLayout layout) {
  if (layout == store::WeightLayout::kGguf) options.norm_offset = 0;
  if (layout == store::WeightLayout::kHuggingFace) options.rope_interleaved = false;
  return options;
}

const std::array<Row, 4>& rows() {
  static const std::array<Row, 4> kRows = {{
      {"llama", {.rope_interleaved = true}},
      {"qwen2", {}},
      {"qwen3", {.qk_norm = true}},
      {"gemma3",
       {.qk_norm = true,
        .post_norms = true,
        .norm_offset = 1.0f,
        .scale_embedding = true,
        .gate = nn::Gate::kGeluTanh,
        .window_period = 6,
        .window_rope_base = 10000.0f}},
  }};
  return kRows;
}

Result<DecoderOptions> options_of(const store::ModelConfig& config) {
  std::string known;
  for (const Row& row : rows()) {
    if (row.architecture == config.architecture) return fit(row.options, config.layout);
    known += known.empty() ? "" : ", ";
    known += row.architecture;
  }
  return fail(Code::kUnsupported,
              fmt::format("[model] {}: architecture '{}' is not supported yet; this build knows {}",
                          config.path, config.architecture, known),
              "general.architecture");
}

}  // namespace

Result<ModelSpec> make_spec(const store::ModelConfig& config) {
  ASSIGN_OR_RETURN(const DecoderOptions options, options_of(config));
  return Decoder::make_spec(config, options);
}

Result<std::unique_ptr<Model>> load_model(const store::Checkpoint& checkpoint, nn::Backend& backend,
                                          const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const store::ModelConfig config, checkpoint.config());
  ASSIGN_OR_RETURN(const DecoderOptions options, options_of(config));
  return Decoder::load(checkpoint, config, options, backend, progress);
}

}  // namespace pippin::models
