// GgufBuilder: writes GGUF files for tests, right ones by default and wrong ones on demand. Thread:
// one. Layout knobs are public members, so that a test can lie about one thing and leave the rest
// correct.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "store/tensor.h"

namespace pippin::store {

class GgufBuilder {
 public:
  // What the header says; unset: the truth.
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> tensor_count, metadata_count;
  uint64_t alignment =
      32;  // of the data; add() the key general.alignment to tell the reader of another

  /// Adds a scalar: an integer or float of any width, or a bool, stored as its own type.
  template <typename T>
    requires std::is_arithmetic_v<T>
  GgufBuilder& add(std::string_view key, T value) {
    begin_key(key, type_number<T>());
    put(metadata_, value);
    return *this;
  }
  GgufBuilder& add(std::string_view key, std::string_view value) {
    begin_key(key, kString);
    put_string(metadata_, value);
    return *this;
  }
  GgufBuilder& add(std::string_view key, const char* value) {
    return add(key, std::string_view(value));
  }
  GgufBuilder& add_strings(std::string_view key, const std::vector<std::string>& values) {
    begin_array(key, kString, values.size());
    for (const std::string& value : values) put_string(metadata_, value);
    return *this;
  }
  template <typename T>
  GgufBuilder& add_array(std::string_view key, const std::vector<T>& values) {
    begin_array(key, type_number<T>(), values.size());
    for (const T value : values) put(metadata_, value);
    return *this;
  }
  /// Adds a key whose type number and payload are given as they are.
  GgufBuilder& add_raw(std::string_view key, uint32_t type, std::string_view payload) {
    begin_key(key, type);
    metadata_ += payload;
    return *this;
  }
  GgufBuilder& add_raw_array(std::string_view key, uint32_t type, uint64_t count,
                             std::string_view payload) {
    begin_array(key, type, count);
    metadata_ += payload;
    return *this;
  }

  /// Adds a tensor. `shape` is outermost first, as in TensorView; the data follows the one before
  /// it, aligned.
  GgufBuilder& tensor(std::string_view name, TensorType type, const std::vector<int64_t>& shape,
                      std::span<const std::byte> bytes) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    raw_tensor(name, ggml_number(type), {shape.rbegin(), shape.rend()}, data_.size());
    data_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return *this;
  }
  GgufBuilder& tensor(std::string_view name, const std::vector<int64_t>& shape,
                      const std::vector<float>& values) {
    return tensor(name, TensorType::kF32, shape, std::as_bytes(std::span(values)));
  }
  /// Adds a tensor of zeros.
  GgufBuilder& zeros(std::string_view name, TensorType type, const std::vector<int64_t>& shape) {
    const int64_t elements =
        std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
    const std::vector<std::byte> bytes(
        static_cast<size_t>(elements / block_elements(type) * block_bytes(type)));
    return tensor(name, type, shape, bytes);
  }
  /// Adds a tensor's entry as given, and no data. `dimensions` are in the file's order, innermost
  /// first.
  GgufBuilder& raw_tensor(std::string_view name, uint32_t type,
                          const std::vector<int64_t>& dimensions, uint64_t offset) {
    put_string(tensors_, name);
    put(tensors_, static_cast<uint32_t>(dimensions.size()));
    for (const int64_t dimension : dimensions) put(tensors_, dimension);
    put(tensors_, type);
    put(tensors_, offset);
    ++tensors_added_;
    return *this;
  }

  /// Returns the file.
  std::vector<std::byte> bytes() const {
    std::string out = magic;
    put(out, version);
    put(out, tensor_count.value_or(tensors_added_));
    put(out, metadata_count.value_or(keys_added_));
    out += metadata_ + tensors_;
    if (!data_.empty()) out.resize((out.size() + alignment - 1) / alignment * alignment);
    out += data_;
    const auto* begin = reinterpret_cast<const std::byte*>(out.data());
    return {begin, begin + out.size()};
  }
  /// Writes the file. Returns whether all of it was written.
  bool write(const std::string& path) const {
    const std::vector<std::byte> file = bytes();
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(file.data()),
              static_cast<std::streamsize>(file.size()));
    return out.flush().good();
  }

  /// Returns the number that GGUF gives a type.
  static uint32_t ggml_number(TensorType type) {
    constexpr uint32_t kNumbers[] = {0,  1,  30, 2,  3,  6,  7,  8,  10, 11, 12, 13, 14, 20,
                                     23, 39, 40, 19, 29, 16, 17, 22, 18, 21, 34, 35, 41, 42};
    return kNumbers[static_cast<size_t>(type)];
  }
  template <typename T>
  static void put(std::string& out, T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    out.append(raw, sizeof(T));
  }
  static void put_string(std::string& out, std::string_view text) {
    put(out, static_cast<uint64_t>(text.size()));
    out += text;
  }

 private:
  static constexpr uint32_t kString = 8, kArray = 9;

  template <typename T>
  static constexpr uint32_t type_number() {
    if constexpr (std::is_same_v<T, bool>) return 7;
    if constexpr (std::is_floating_point_v<T>) return sizeof(T) == 4 ? 6 : 12;
    constexpr uint32_t kSigned = std::is_signed_v<T> ? 1 : 0;
    switch (sizeof(T)) {
      case 1:
        return 0 + kSigned;
      case 2:
        return 2 + kSigned;
      case 4:
        return 4 + kSigned;
      default:
        return 10 + kSigned;
    }
  }
  void begin_key(std::string_view key, uint32_t type) {
    put_string(metadata_, key);
    put(metadata_, type);
    ++keys_added_;
  }
  void begin_array(std::string_view key, uint32_t element_type, uint64_t count) {
    begin_key(key, kArray);
    put(metadata_, element_type);
    put(metadata_, count);
  }

  std::string metadata_, tensors_, data_;
  uint64_t keys_added_ = 0, tensors_added_ = 0;
};

}  // namespace pippin::store
