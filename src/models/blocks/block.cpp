#include "models/blocks/block.h"

#include <fmt/format.h>

#include <cmath>

namespace pippin::models {

std::string LayerSource::name(std::string_view part) const {
  return fmt::format("blk.{}.{}", layer, part);
}

Result<std::vector<float>> LayerSource::decay(int count) const {
  ASSIGN_OR_RETURN(std::vector<float> values, weights.values(name("ssm_a"), count));
  if (config.layout == store::WeightLayout::kHuggingFace)
    for (float& value : values) value = -std::exp(value);
  return values;
}

}  // namespace pippin::models
