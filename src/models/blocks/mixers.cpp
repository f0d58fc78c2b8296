#include "models/blocks/mixers.h"

#include <fmt/format.h>

#include <set>

#include "models/blocks/attention.h"
#include "models/blocks/delta_net.h"
#include "models/blocks/latent_attention.h"
#include "models/blocks/mamba.h"
#include "models/blocks/mamba2.h"
#include "models/blocks/parallel.h"
#include "models/blocks/short_conv.h"

namespace pippin::models {

MixerKind mixer_kind(const store::ModelConfig& config, const DecoderOptions& options, int layer) {
  if (config.latent.rank > 0) return MixerKind::kLatent;
  if (options.beside_attention) return MixerKind::kAttentionAndMamba2;
  const auto i = static_cast<size_t>(layer);
  const std::vector<bool>& recurrent = config.recurrent.layers;
  if (!recurrent.empty() && recurrent[i]) return options.recurrence;
  return config.kv_heads[i] > 0 ? MixerKind::kAttention : MixerKind::kNone;
}

int kv_layer(const store::ModelConfig& config, const DecoderOptions& options, int layer) {
  const bool attention = mixer_kind(config, options, layer) == MixerKind::kAttention;
  return attention ? AttentionBlock::kv_layer(config, options, layer) : layer;
}

std::vector<nn::KvGeometry> mixer_stores(const store::ModelConfig& config,
                                         const DecoderOptions& options, int layer) {
  switch (mixer_kind(config, options, layer)) {
    case MixerKind::kNone:
      return {};
    case MixerKind::kAttention:
      if (AttentionBlock::kv_layer(config, options, layer) != layer) return {};
      return {AttentionBlock::geometry(config, options, layer)};
    case MixerKind::kLatent:
      return {LatentBlock::geometry(config, layer)};
    case MixerKind::kShortConv:
      return {ShortConvBlock::geometry(config)};
    case MixerKind::kDeltaNet:
      return {DeltaNetBlock::geometry(config)};
    case MixerKind::kMamba:
      return {MambaBlock::geometry(config)};
    case MixerKind::kMamba2:
      return {Mamba2Block::geometry(config)};
    case MixerKind::kAttentionAndMamba2:
      return {AttentionBlock::geometry(config, options, layer), Mamba2Block::geometry(config)};
  }
  return {};
}

namespace {

Result<void> check_mixer(const store::ModelConfig& config, const DecoderOptions& options,
                         MixerKind kind) {
  switch (kind) {
    case MixerKind::kAttention:
      return AttentionBlock::check(config, options);
    case MixerKind::kLatent:
      return LatentBlock::check(config, options);
    case MixerKind::kDeltaNet:
      return DeltaNetBlock::check(config);
    case MixerKind::kMamba:
      return MambaBlock::check(config);
    case MixerKind::kMamba2:
      return Mamba2Block::check(config);
    case MixerKind::kAttentionAndMamba2:
      RETURN_IF_ERROR(AttentionBlock::check(config, options));
      return Mamba2Block::check(config);
    case MixerKind::kNone:
    case MixerKind::kShortConv:
      break;
  }
  return {};
}

// Attention's store comes first.
Result<std::unique_ptr<Mixer>> load_parallel(const LayerSource& source, nn::Backend& backend,
                                             const std::vector<float>& rope_divisors) {
  ASSIGN_OR_RETURN(std::unique_ptr<Mixer> attention,
                   AttentionBlock::load(source, backend, rope_divisors));
  LayerSource beside = source;
  ++beside.store;
  ASSIGN_OR_RETURN(std::unique_ptr<Mixer> recurrence, Mamba2Block::load(beside, backend));
  return std::unique_ptr<Mixer>(std::make_unique<ParallelBlock>(
      backend, source.config.multipliers, std::move(attention), std::move(recurrence)));
}

}  // namespace

Result<void> check_mixers(const store::ModelConfig& config, const DecoderOptions& options) {
  if (config.recurrent.any() && options.recurrence == MixerKind::kNone) {
    return fail(Code::kUnsupported,
                fmt::format("[model] {}: recurrent layers are not supported in this architecture",
                            config.path),
                config.architecture + ".ssm.conv_kernel");
  }
  std::set<MixerKind> kinds;
  for (int i = 0; i < config.layers; ++i) kinds.insert(mixer_kind(config, options, i));
  for (const MixerKind kind : kinds) RETURN_IF_ERROR(check_mixer(config, options, kind));
  return {};
}

Result<std::unique_ptr<Mixer>> load_mixer(const LayerSource& source, nn::Backend& backend,
                                          const std::vector<float>& rope_divisors) {
  switch (mixer_kind(source.config, source.options, source.layer)) {
    case MixerKind::kNone:
      return std::unique_ptr<Mixer>();
    case MixerKind::kAttention:
      return AttentionBlock::load(source, backend, rope_divisors);
    case MixerKind::kLatent:
      return LatentBlock::load(source, backend, rope_divisors);
    case MixerKind::kShortConv:
      return ShortConvBlock::load(source, backend);
    case MixerKind::kDeltaNet:
      return DeltaNetBlock::load(source, backend);
    case MixerKind::kMamba:
      return MambaBlock::load(source, backend);
    case MixerKind::kMamba2:
      return Mamba2Block::load(source, backend);
    case MixerKind::kAttentionAndMamba2:
      return load_parallel(source, backend, rope_divisors);
  }
  return std::unique_ptr<Mixer>();
}

}  // namespace pippin::models
