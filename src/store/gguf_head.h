// GgufMetadata and lay_out_gguf: the head of a GGUF file, and where its tensors go. Owner: a
// conversion's plan. Thread: one. Source: the GGUF specification.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "store/conversion.h"

namespace pippin::store {

/// Keys and values as bytes, in the order in which they are added.
class GgufMetadata {
 public:
  void add(std::string_view key, uint32_t value);
  void add(std::string_view key, int32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }
  void add(std::string_view key, std::span<const int32_t> values);
  void add(std::string_view key, std::span<const float> values);
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, const std::vector<bool>& values);
  /// Adds a value with its type, as another file has them.
  void add_raw(std::string_view key, std::string_view value);
  void append(const GgufMetadata& other);

  const std::string& bytes() const { return bytes_; }
  uint64_t keys() const { return keys_; }

 private:
  void begin(std::string_view key, uint32_t type);
  void begin_array(std::string_view key, uint32_t type, size_t count);

  std::string bytes_;
  uint64_t keys_ = 0;
};

/// Writes the head of the plan's only file, and sets each tensor's place behind it. Requires: the
/// tensors' bytes are set; the plan has one file.
void lay_out_gguf(Conversion& plan, const GgufMetadata& metadata);

}  // namespace pippin::store
