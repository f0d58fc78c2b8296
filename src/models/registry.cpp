// From a file's configuration to the family and its model.

#include <fmt/format.h>

#include <algorithm>

#include "models/families/family.h"
#include "models/model.h"
#include "models/text/decoder.h"

namespace pippin::models {
namespace {

// Converters to GGUF permute a llama's q and k, so that pairs are interleaved, add to norms what
// the model adds, and reorder the heads of Qwen 3.5's delta nets.
DecoderOptions fit(DecoderOptions options, store::WeightLayout layout) {
  if (layout == store::WeightLayout::kGguf) options.norm_offset = 0;
  if (layout == store::WeightLayout::kHuggingFace)
    options.rope_interleaved = options.keys_tiled = false;
  return options;
}

// A configuration, and how its family is computed.
struct Described {
  store::ModelConfig config;
  DecoderOptions options;
};

Result<Described> describe(store::ModelConfig config) {
  std::string known;
  for (const Family* family : families()) {
    if (family->architecture == config.architecture) {
      if (family->complete != nullptr && config.layout == store::WeightLayout::kGguf)
        family->complete(config);
      const DecoderOptions options = fit(family->options, config.layout);
      return Described{std::move(config), options};
    }
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
  ASSIGN_OR_RETURN(const Described model, describe(config));
  return Decoder::make_spec(model.config, model.options);
}

Result<std::unique_ptr<Model>> load_model(const store::Checkpoint& checkpoint, nn::Backend& backend,
                                          const LoadProgress& progress) {
  ASSIGN_OR_RETURN(store::ModelConfig config, checkpoint.config());
  ASSIGN_OR_RETURN(const Described model, describe(std::move(config)));
  return Decoder::load(checkpoint, model.config, model.options, backend, progress);
}

}  // namespace pippin::models
