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

const std::array<Row, 4>& rows() {
  static const std::array<Row, 4> kRows = {{
      {"llama", {.rope_interleaved = true}},
      {"qwen2", {}},
      {"qwen3", {.qk_norm = true}},
      {"gemma3",
       {.qk_norm = true,
        .post_norms = true,
        .scale_embedding = true,
        .gate = nn::Gate::kGeluTanh,
        .window_period = 6,
        .window_rope_base = 10000.0f}},
  }};
  return kRows;
}

Result<const Row*> find_row(const store::GgufFile& file, const store::ModelConfig& config) {
  std::string known;
  for (const Row& row : rows()) {
    if (row.architecture == config.architecture) return &row;
    known += known.empty() ? "" : ", ";
    known += row.architecture;
  }
  return fail(Code::kUnsupported,
              fmt::format("[model] {}: architecture '{}' is not supported yet; this build knows {}",
                          file.path(), config.architecture, known),
              "general.architecture");
}

}  // namespace

Result<ModelSpec> read_spec(const store::GgufFile& file) {
  ASSIGN_OR_RETURN(const store::ModelConfig config, store::read_model_config(file));
  ASSIGN_OR_RETURN(const Row* row, find_row(file, config));
  return Decoder::make_spec(config, row->options);
}

Result<std::unique_ptr<Model>> load_model(const store::GgufFile& file, const nn::Context& ctx,
                                          const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const store::ModelConfig config, store::read_model_config(file));
  ASSIGN_OR_RETURN(const Row* row, find_row(file, config));
  return Decoder::load(file, config, row->options, ctx, progress);
}

}  // namespace pippin::models
