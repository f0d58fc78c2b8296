// AffineMatrix: a weight in one of MLX's quantised forms. GGUF's blocks are laid out anew as
// affine groups of 32; what MLX quantised is taken as it is. Owner: the weight. Thread: the device
// thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mlx/array.h"
#include "mlx/dtype.h"
#include "store/tensor.h"

namespace pippin::nn {

/// value = scale * code + bias (mode "affine"), or scale * E2M1 ("mxfp4"). Source: mx.quantize.
struct AffineMatrix {
  mlx::core::array codes;                  // [.., N, K * bits / 32] uint32
  mlx::core::array scales;                 // [.., N, K / group]
  std::optional<mlx::core::array> biases;  // as the scales; of "affine" only
  int group = 32;
  int bits = 4;
  std::string mode = "affine";

  /// Says whether both are of one form, so that they can be joined.
  bool is_like(const AffineMatrix& other) const;
};

/// How a block format is laid out anew: the bits of a code, and whether the values stay the file's
/// but for the rounding of scales. Else each group of 32 is fitted between its least and largest.
struct AffineForm {
  int bits;
  bool follows_scales;
};
AffineForm affine_form(TensorType type);

/// Lays a tensor out anew. `scale_type`: f16, or bf16 where activations are; the scales of MLX's
/// own files keep their type. A scale that f16 cannot hold makes all of them f32.
/// Returns nothing for floats, and where K does not divide into groups: such weights stay dense.
/// Accuracy: exact, but for scales and biases rounded to `scale_type`; where a form does not follow
/// the file's scales, each value is off by at most (largest - least) / (2^bits - 1) / 2 of its
/// group more.
std::optional<AffineMatrix> affine_matrix(const store::TensorView& tensor, int columns,
                                          mlx::core::Dtype scale_type);

/// Returns the bytes that a tensor takes so, or in 16 bits a value where it stays dense.
int64_t affine_bytes(const store::TensorView& tensor);

/// Joins matrices of one form along N (axis 0 of [N, K]), or as experts on a new first axis.
AffineMatrix concatenated(const std::vector<AffineMatrix>& parts);
AffineMatrix stacked(const std::vector<AffineMatrix>& experts);

}  // namespace pippin::nn
