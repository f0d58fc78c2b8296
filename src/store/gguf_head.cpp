#include "store/gguf_head.h"

#include <cstring>

#include "base/check.h"
#include "store/gguf_types.h"

namespace pippin::store {
namespace {

constexpr uint32_t kVersion = 3;
constexpr uint64_t kAlignment = 32;
// The numbers of the specification's value types.
constexpr uint32_t kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9;

template <typename T>
void put(std::string& out, T value) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  out.append(raw, sizeof value);
}

void put_text(std::string& out, std::string_view text) {
  put(out, uint64_t{text.size()});
  out += text;
}

uint64_t aligned(uint64_t at) { return (at + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

void GgufMetadata::begin(std::string_view key, uint32_t type) {
  put_text(bytes_, key);
  put(bytes_, type);
  ++keys_;
}

void GgufMetadata::begin_array(std::string_view key, uint32_t type, size_t count) {
  begin(key, kArray);
  put(bytes_, type);
  put(bytes_, uint64_t{count});
}

void GgufMetadata::add(std::string_view key, uint32_t value) {
  begin(key, kUint32);
  put(bytes_, value);
}

void GgufMetadata::add(std::string_view key, int32_t value) {
  begin(key, kInt32);
  put(bytes_, value);
}

void GgufMetadata::add(std::string_view key, float value) {
  begin(key, kFloat32);
  put(bytes_, value);
}

void GgufMetadata::add(std::string_view key, bool value) {
  begin(key, kBool);
  put(bytes_, static_cast<uint8_t>(value));
}

void GgufMetadata::add(std::string_view key, std::string_view value) {
  begin(key, kString);
  put_text(bytes_, value);
}

void GgufMetadata::add(std::string_view key, std::span<const int32_t> values) {
  begin_array(key, kInt32, values.size());
  for (const int32_t value : values) put(bytes_, value);
}

void GgufMetadata::add(std::string_view key, std::span<const float> values) {
  begin_array(key, kFloat32, values.size());
  for (const float value : values) put(bytes_, value);
}

void GgufMetadata::add(std::string_view key, std::span<const std::string> values) {
  begin_array(key, kString, values.size());
  for (const std::string& value : values) put_text(bytes_, value);
}

void GgufMetadata::add(std::string_view key, const std::vector<bool>& values) {
  begin_array(key, kBool, values.size());
  for (const bool value : values) put(bytes_, static_cast<uint8_t>(value));
}

void GgufMetadata::add_raw(std::string_view key, std::string_view value) {
  put_text(bytes_, key);
  bytes_ += value;
  ++keys_;
}

void GgufMetadata::append(const GgufMetadata& other) {
  bytes_ += other.bytes_;
  keys_ += other.keys_;
}

void lay_out_gguf(Conversion& plan, const GgufMetadata& metadata) {
  CHECK(plan.files.size() == 1, "a GGUF file is one file");
  std::string& head = plan.files[0].head;
  head = "GGUF";
  put(head, kVersion);
  put(head, uint64_t{plan.tensors.size()});
  put(head, metadata.keys());
  head += metadata.bytes();
  uint64_t at = 0;
  for (ConvertedTensor& tensor : plan.tensors) {
    put_text(head, tensor.name);
    put(head, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) put(head, *size);
    put(head, tensor_type_number(tensor.encoding.type));
    put(head, at);
    tensor.at[0] = at;
    at += aligned(tensor.bytes.values);
  }
  head.resize(aligned(head.size()));
  for (ConvertedTensor& tensor : plan.tensors) tensor.at[0] += head.size();
  plan.files[0].bytes = head.size() + at;
}

}  // namespace pippin::store
