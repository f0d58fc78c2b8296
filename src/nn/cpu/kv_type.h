// KvType: how the keys and values of a sequence are kept, and the bytes that takes. Thread: any.
#pragma once

#include <cstdint>
#include <string_view>

namespace pippin::nn::cpu {

/// kInt8: codes in groups of 32 dims of one head and position, each group with a scale in f16.
enum class KvType : uint8_t { kF16, kInt8 };
constexpr int kKvTypes = 2;

constexpr std::string_view kv_type_name(KvType type) {
  return type == KvType::kInt8 ? "int8" : "f16";
}

}  // namespace pippin::nn::cpu
