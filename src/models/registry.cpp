// From a file's configuration to the family and its model.

#include <fmt/format.h>

#include <algorithm>

#include "models/families/family.h"
#include "models/model.h"
#include "models/text/decoder.h"

namespace pippin::models {
namespace {

// Converters to GGUF permute a llama's q and k, so that pairs are interleaved, and add to norms
// what the model adds.
DecoderOptions fit(DecoderOptions options, store::WeightLayout layout) {
  if (layout == store::WeightLayout::kGguf) options.norm_offset = 0;
  if (layout == store::WeightLayout::kHuggingFace) options.rope_interleaved = false;
  return options;
}

Result<DecoderOptions> options_of(const store::ModelConfig& config) {
  std::string known;
  for (const Family* family : families()) {
    if (family->architecture == config.architecture) return fit(family->options, config.layout);
    known += known.empty() ? "" : ", ";
    known += family->architecture;
  }
  return fail(Code::kUnsupported,
              fmt::format("[model] {}: architecture '{}' is not supported yet; this build knows {}",
                          config.path, config.architecture, known),
              "general.architecture");
}

// A recurrent model's prompts leave a state so often, for later prompts that share their beginning.
constexpr int kCheckpointPositions = 512;

}  // namespace

std::vector<KvGroupSpec> ModelSpec::kv_groups(nn::KvType type) const {
  std::vector<KvGroupSpec> groups;
  for (const KvKind kind :
       {KvKind::kFull, KvKind::kSliding, KvKind::kChunked, KvKind::kState, KvKind::kCross}) {
    KvGroupSpec group{kind};
    if (kind == KvKind::kState) group.checkpoint_positions = kCheckpointPositions;
    for (const nn::KvGeometry& g : layers) {
      if (g.kind() != kind) continue;
      ++group.layers;
      group.bytes += g.block_bytes(type);
      group.window = std::max({group.window, g.window, g.chunk});
    }
    if (group.layers > 0) groups.push_back(group);
  }
  return groups;
}

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
