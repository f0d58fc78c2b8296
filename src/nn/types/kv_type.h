// KvType: how the keys and values of a sequence are kept. Thread: any.
#pragma once

#include <cstdint>
#include <string_view>

namespace pippin::nn {

/// Positions in a block of keys and values, on every backend.
inline constexpr int kBlockPositions = 16;
/// Head dimensions that every backend's attention can keep on its stack.
inline constexpr int kHeadDimMax = 1024;

/// kInt8: codes in groups of 32 dims of one head and position, each group with a scale in f16.
enum class KvType : uint8_t { kF16, kInt8 };
constexpr int kKvTypes = 2;

constexpr std::string_view kv_type_name(KvType type) {
  return type == KvType::kInt8 ? "int8" : "f16";
}

/// Dims that share a scale in kInt8.
inline constexpr int kKvGroup = 32;

/// Units: bytes of K, or of V, in one block of one head. Int8's dims are rounded up to whole
/// groups.
constexpr int64_t kv_head_bytes(KvType type, int head_dim) {
  if (type == KvType::kF16) return int64_t{2} * head_dim * kBlockPositions;
  const int64_t groups = (head_dim + kKvGroup - 1) / kKvGroup;
  return groups * (kKvGroup + 2) * kBlockPositions;
}

}  // namespace pippin::nn
