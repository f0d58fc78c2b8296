// The values that the codes of table formats stand for.
#pragma once

#include <cstdint>

#include "base/block_codes.h"
#include "base/tensor_type.h"

namespace pippin::nn::cpu {

/// Unsigned codes of the table formats: the signed value + 2^offset_shift.
/// Source: GGML's kvalues_iq4nl; OCP Microscaling Formats 1.0 for FP4 (values doubled, so that they
/// are integers).
struct Codebook {
  uint8_t codes[16];
};
constexpr Codebook codebook(TensorType type) {
  Codebook book = {{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241}};
  const bool is_iq3 = type == TensorType::kIQ3_XXS || type == TensorType::kIQ3_S;
  for (size_t i = 0; i < 16; ++i) {
    if (type == TensorType::kMXFP4 || type == TensorType::kNVFP4)
      book.codes[i] = static_cast<uint8_t>(16 + kE2M1Doubled[i]);
    if (is_grid(type))
      book.codes[i] = static_cast<uint8_t>((is_iq3 ? 32 : 64) + grid_values(type)[i]);
  }
  return book;
}

/// The same for as long as the program runs.
template <TensorType kType>
inline constexpr Codebook kCodebook = codebook(kType);

}  // namespace pippin::nn::cpu
