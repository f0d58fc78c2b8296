// TensorType, TensorView: what a model file holds, as the loader sees it. Plain structs; thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pippin::store {

/// Element formats of tensors in model files. The quantised ones are GGML's block formats, byte for byte.
/// Source: the GGUF specification and ggml-common.h's block layouts.
enum class TensorType : uint8_t {
  kF32, kF16, kBF16,
  kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0,
  kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K,
  kIQ4_NL, kIQ4_XS,
  kMXFP4,
};

/// Returns "Q4_K" and the like.
std::string_view type_name(TensorType type);
/// Returns the number of elements in one block (1 for float types, 32 or 256 for quantised ones).
int block_elements(TensorType type);
/// Returns the bytes of one block.
int block_bytes(TensorType type);

/// A tensor inside a mapped file. Shape is outermost first: a weight of a linear layer is
/// [N out, K in], rows contiguous.
struct TensorView {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<int64_t> shape;        // outermost first (the reverse of GGUF's order)
  std::span<const std::byte> bytes;  // borrowed from the file's mapping

  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};

/// Writes the f32 values of `bytes` (whole blocks of `type`) to `out`. Reference code: plain, exact, one thread.
/// Requires: bytes.size() == out.size() / block_elements(type) * block_bytes(type).
void dequantize(TensorType type, std::span<const std::byte> bytes, std::span<float> out);

}  // namespace pippin::store
