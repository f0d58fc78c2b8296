// unpack: weights that other tools quantised, in the order in which they keep them, to one that
// tiles hold. Plain functions; thread: any.
// Sources: AutoGPTQ's and GPTQModel's qlinear modules; AutoAWQ's WQLinear_GEMM; compressed-tensors'
// pack_to_int32; transformers' fine-grained FP8; mx.quantize's documentation for mxfp8 and nvfp4.
#pragma once

#include <cstdint>
#include <span>

#include "store/tensor.h"

namespace pippin::store {

enum class Packing : uint8_t {
  /// value = scale * (code - zero). Words of 32 bits; K in the words of a column.
  ///   codes [K * bits / 32, N], scales [K / group, N], zeros [K / group, N * bits / 32]
  kGptq,
  /// The same, N in the words of a row: eight columns in the order 0 2 4 6 1 3 5 7.
  ///   codes [K, N / 8], scales [K / group, N], zeros [K / group, N / 8]
  kAwq,
  /// The same, K in the words of a row. Without zeros, codes are offset by half their range.
  ///   codes [N, K * bits / 32], scales [N, K / group], zeros [N * bits / 32, K / group]
  kPackedInts,
  /// value = scale * code, s8 codes [N, K]; scales of blocks [N / block_rows, K / group]
  kInt8,
  /// value = scale * E4M3 [N, K]; scales as of kInt8
  kFp8,
  /// MLX's E4M3 [.., N, K] with E8M0 scales [.., N, K / 32]
  kMxFp8,
  /// MLX's E2M1 [.., N, K / 2] with E4M3 scales [.., N, K / 16]
  kNvFp4,
};

/// Beside a TensorView's shape, codes in `bytes` and, of MLX's, scales in `mlx.scales`.
struct PackedForm {
  Packing packing = Packing::kGptq;
  int bits = 4;
  int64_t group = 0;       // columns that share a scale
  int64_t block_rows = 1;  // rows that do
  TensorType scale_type = TensorType::kF16;
  std::span<const std::byte> scales, zeros;
  bool zeros_less_one = false;       // GPTQ's first form keeps them so
  std::span<const std::byte> order;  // s32 [K]: the group of each column; empty: column / group
};

/// The type that unpack() gives integer codes and kFp8. Codes of whole groups of 32, 64 or 128
/// columns become MLX's affine codes, exactly; so does kNvFp4 with rows of whole blocks as NVFP4.
/// The rest becomes Q8_0: E4M3, other rows of kNvFp4, and codes whose columns belong to groups in
/// any order. Its error is at most 1/254 of the largest
/// magnitude of 32 columns, and what rounding their scale to f16 adds, 1/2048 of each value.
TensorType unpacked_type(const PackedForm& form);

/// Returns a view that owns its bytes, with blocks or affine codes; one that is not packed as it
/// is. Requires: the sizes of the form's spans follow from the shape; groups in `order` are there;
/// rows of whole groups, and of whole blocks of the type. Cost: some ns a value.
TensorView unpack(const TensorView& tensor);

}  // namespace pippin::store
