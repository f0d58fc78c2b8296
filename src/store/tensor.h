// TensorType, TensorView: what a model file holds, as the loader sees it. Plain structs; thread:
// any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pippin::store {

/// Element formats of tensors in model files. The quantised ones are GGML's block formats, byte for
/// byte, but for those that MLX quantised, whose codes, scales and biases are tensors of their own:
/// kAffine always, kMXFP4 in folders. Source: the GGUF specification and ggml-common.h's block
/// layouts; MLX's quantize().
enum class TensorType : uint8_t {
  kF32, kF16, kBF16,
  kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0,
  kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K,
  kIQ4_NL, kIQ4_XS,
  kMXFP4,
  kAffine,
};

/// Returns "Q4_K" and the like.
std::string_view type_name(TensorType type);
/// Returns the number of elements in one block (1 for float types, 32 or 256 for quantised ones).
/// Requires: not kAffine.
int block_elements(TensorType type);
/// Returns the bytes of one block. Requires: not kAffine.
int block_bytes(TensorType type);

/// What a tensor that MLX quantised has beside its codes. A row's codes are a little-endian stream
/// of bits, the first element in the lowest; each `group` of them in a row has a scale. kAffine has
/// a bias, too: value = scale * code + bias. kMXFP4 has E2M1 codes and E8M0 scales, without biases.
struct QuantisationParameters {
  int bits = 0;                               // 2, 3, 4, 5, 6 or 8; 4 of kMXFP4
  int group = 0;                              // 32, 64 or 128; 32 of kMXFP4; divides K
  TensorType scale_type = TensorType::kF16;   // of kAffine: kF32, kF16 or kBF16, of biases too
  std::span<const std::byte> scales, biases;  // [N, K / group]
};

/// A tensor inside a mapped file. Shape is outermost first: a weight of a linear layer is
/// [N out, K in], rows contiguous.
struct TensorView {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<int64_t> shape;        // outermost first (the reverse of GGUF's order)
  std::span<const std::byte> bytes;  // borrowed from the file's mapping
  QuantisationParameters mlx;                       // of a tensor without blocks
  /// What `bytes` borrows from where the file keeps the tensor in another order; else null.
  std::shared_ptr<const std::vector<std::byte>> made = nullptr;

  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
  /// Whether `bytes` are blocks of the type, as they are unless MLX quantised the tensor.
  bool has_blocks() const { return mlx.bits == 0; }
  /// Everything that the file keeps of it.
  size_t stored_bytes() const { return bytes.size() + mlx.scales.size() + mlx.biases.size(); }
  /// Returns "Q4_K", "affine 4-bit" and the like.
  std::string type_text() const;
  /// Returns entries [first, first + count) of the outermost dimension, without a copy.
  /// Requires: they are the tensor's.
  TensorView slice(int64_t first, int64_t count) const;
};

/// Writes the f32 values of `bytes` (whole blocks of `type`) to `out`. Reference code: plain,
/// exact, one thread. Requires: not kAffine; bytes.size() == out.size() / block_elements(type) *
/// block_bytes(type).
void dequantize(TensorType type, std::span<const std::byte> bytes, std::span<float> out);
/// The same for a whole tensor of any type. Requires: out.size() == tensor.elements().
void dequantize(const TensorView& tensor, std::span<float> out);

}  // namespace pippin::store
