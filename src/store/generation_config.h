// GenerationConfig: how a model's makers would have it sampled, as its files say. Plain struct.
#pragma once

#include <cstdint>
#include <optional>

namespace pippin::store {

/// As written; what makes no sense is the reader's to leave out.
struct GenerationConfig {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
};

}  // namespace pippin::store
