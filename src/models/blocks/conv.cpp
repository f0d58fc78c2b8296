#include "models/blocks/conv.h"

#include <utility>
#include <vector>

namespace pippin::models {

Result<nn::ConvSpec> load_conv(const LayerSource& source, std::string_view part, int channels) {
  const std::string name = source.name(part);
  const int taps = source.config.recurrent.conv_taps;
  ASSIGN_OR_RETURN(const std::vector<float> stored,
                   source.weights.values(name + ".weight", int64_t{channels} * taps));
  const auto width = static_cast<size_t>(channels), count = static_cast<size_t>(taps);
  std::vector<float> weight(stored.size());
  for (size_t channel = 0; channel < width; ++channel)
    for (size_t tap = 0; tap < count; ++tap)
      weight[tap * width + channel] = stored[channel * count + tap];
  nn::ConvSpec spec{.channels = channels, .taps = taps};
  spec.weight = std::move(weight);
  if (source.weights.has(name + ".bias")) {
    ASSIGN_OR_RETURN(std::vector<float> bias, source.weights.values(name + ".bias", channels));
    spec.bias = std::move(bias);
  }
  return spec;
}

}  // namespace pippin::models
