#include "models/blocks/block.h"

#include <fmt/format.h>

namespace pippin::models {

std::string LayerSource::name(std::string_view part) const {
  return fmt::format("blk.{}.{}", layer, part);
}

}  // namespace pippin::models
