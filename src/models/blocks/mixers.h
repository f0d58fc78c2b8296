// Mixers by kind: which one a layer has, what it keeps, and how it is loaded. Thread: the device
// thread; the first three any.
#pragma once

#include <memory>
#include <vector>

#include "models/blocks/block.h"

namespace pippin::models {

MixerKind mixer_kind(const store::ModelConfig& config, const DecoderOptions& options, int layer);

/// Returns the layer whose store a layer's mixer uses: its own, but where keys and values are
/// shared.
int kv_layer(const store::ModelConfig& config, const DecoderOptions& options, int layer);

/// Returns what a layer's mixer keeps of a sequence: an entry for each of its stores.
std::vector<nn::KvGeometry> mixer_stores(const store::ModelConfig& config,
                                         const DecoderOptions& options, int layer);

/// Errors: kUnsupported, naming what of the configuration no mixer here can do.
Result<void> check_mixers(const store::ModelConfig& config, const DecoderOptions& options);

/// Returns a layer's mixer; null where it has none. `rope_divisors`: [rope dims / 2] or empty, the
/// file's own.
Result<std::unique_ptr<Mixer>> load_mixer(const LayerSource& source, nn::Backend& backend,
                                          const std::vector<float>& rope_divisors);

}  // namespace pippin::models
