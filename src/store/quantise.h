// quantise: f32 values to the bytes of a weight format; the inverse of dequantize() (tensor.h).
// Plain functions; thread: any.
// Source: the block layouts of ggml-common.h; MLX's quantize() for affine codes and mxfp4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/tensor_type.h"

namespace pippin::store {

/// The largest magnitude that F16, and with it a block's scale, holds.
inline constexpr float kHalfMax = 65504;

/// How rows of weights are written: as blocks of `type`, or with scales that lie apart.
struct Encoding {
  TensorType type = TensorType::kF32;
  int group = 0;                             // > 0: MLX's form, in groups of so many; else blocks
  TensorType scale_type = TensorType::kF16;  // of MLX's affine forms
  bool operator==(const Encoding&) const = default;
};

/// Units: bytes.
struct EncodedBytes {
  uint64_t values = 0, scales = 0, biases = 0;
  uint64_t sum() const { return values + scales + biases; }
};

/// Says whether encode() writes the type: F32, F16, BF16, Q4_0, Q5_0, Q8_0, Q4_K, Q5_K, Q6_K as
/// blocks; affine codes and mxfp4 in groups.
bool can_encode(const Encoding& encoding);
/// Returns how many elements a row must be a multiple of.
int row_multiple(const Encoding& encoding);
/// Requires: `elements` are whole rows.
EncodedBytes encoded_bytes(const Encoding& encoding, uint64_t elements);

/// Where encode() writes; each part is as long as encoded_bytes() says.
struct EncodedSpans {
  std::span<std::byte> values, scales = {}, biases = {};
};

/// Writes whole rows. Block scales are chosen by weighted least squares over a few candidates;
/// affine codes and mxfp4 are MLX's, bit for bit.
/// Requires: can_encode(encoding); values are finite, of a block format at most kHalfMax.
/// Cost: about 100 ns an element of Q4_K and Q5_K, less of the others.
void encode(const Encoding& encoding, std::span<const float> values, const EncodedSpans& out);

}  // namespace pippin::store
