// TensorView: what a model file holds, as the loader sees it. Plain structs; thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/tensor_type.h"

namespace pippin::store {

struct PackedForm;  // unpack.h

/// A tensor inside a mapped file. Shape is outermost first: a weight of a linear layer is
/// [N out, K in], rows contiguous.
struct TensorView {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<int64_t> shape;        // outermost first (the reverse of GGUF's order)
  std::span<const std::byte> bytes;  // borrowed from the file's mapping
  QuantisationParameters mlx;        // of a tensor without blocks
  /// Where another tool's form has to be unpacked first (unpack.h); `type` is what that gives.
  std::shared_ptr<const PackedForm> packed = nullptr;
  /// What `bytes` borrows from where the file keeps the tensor in another order; else null.
  std::shared_ptr<const std::vector<std::byte>> made = nullptr;

  /// Whether `bytes` have the last two dimensions the other way round, [.., K, N]. Of floats; only
  /// loaders of experts, which copy one at a time, meet it.
  bool transposed = false;

  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
  /// Whether `bytes` are blocks of the type, as they are unless another tool quantised the tensor.
  bool has_blocks() const { return mlx.group == 0 && packed == nullptr; }
  /// Everything that the file keeps of it.
  size_t stored_bytes() const;
  /// Returns entries [first, first + count) of the outermost dimension, without a copy.
  /// Requires: they are the tensor's; it is not packed, or by MLX.
  TensorView slice(int64_t first, int64_t count) const;
};

/// Writes the f32 values of `bytes` (whole blocks of `type`) to `out`. Reference code: plain,
/// exact, one thread. Requires: not is_affine(type); bytes.size() == out.size() /
/// block_elements(type) * block_bytes(type).
void dequantize(TensorType type, std::span<const std::byte> bytes, std::span<float> out);
/// The same for a whole tensor of any type. Requires: out.size() == tensor.elements(); not packed.
void dequantize(const TensorView& tensor, std::span<float> out);

}  // namespace pippin::store
