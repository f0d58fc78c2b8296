#include "store/gguf_writer.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "store/gguf_head.h"
#include "store/gguf_mix.h"
#include "store/tensor_name.h"

namespace pippin::store {
namespace {

using enum TensorType;

constexpr uint32_t kString = 8, kArray = 9;
constexpr uint32_t kQuantisationVersion = 2;  // of ggml's block layouts
constexpr std::string_view kFileType = "general.file_type",
                           kQuantisation = "general.quantization_version";

constexpr GgufFormat kFormats[] = {
    {"f16", "F16", kF16, false, 1},        {"q4_0", "Q4_0", kQ4_0, false, 2},
    {"q8_0", "Q8_0", kQ8_0, false, 7},     {"q4_k_m", "Q4_K_M", kQ4_K, true, 15},
    {"q5_k_m", "Q5_K_M", kQ5_K, true, 17}, {"q6_k", "Q6_K", kQ6_K, false, 18},
};

template <typename T>
T read(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

size_t scalar_bytes(uint32_t type) {
  constexpr size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  CHECK(type < std::size(kBytes) && kBytes[type] > 0, "not a scalar of a file that was checked");
  return kBytes[type];
}

// Where a value ends that begins at `p`. The file was checked when it was opened.
const char* end_of_value(uint32_t type, const char* p) {
  if (type == kString) return p + 8 + read<uint64_t>(p);
  if (type != kArray) return p + scalar_bytes(type);
  const auto element = read<uint32_t>(p);
  const auto count = read<uint64_t>(p + 4);
  p += 12;
  if (element != kString) return p + count * scalar_bytes(element);
  for (uint64_t i = 0; i < count; ++i) p = end_of_value(kString, p);
  return p;
}

// The type and the value of a key, as the file has them: they follow the key's bytes, from which
// `key` borrows.
std::string_view raw_value(std::string_view key) {
  const char* begin = key.data() + key.size();
  const char* end = end_of_value(read<uint32_t>(begin), begin + 4);
  return {begin, static_cast<size_t>(end - begin)};
}

bool is_copied_key(std::string_view key) {
  return key != kFileType && key != kQuantisation && key != "general.alignment" &&
         !key.starts_with("split.");
}

GgufMetadata copied_metadata(const GgufFile& file, const GgufFormat& format) {
  GgufMetadata metadata;
  for (const auto& [key, value] : file.metadata())
    if (is_copied_key(key)) metadata.add_raw(key, raw_value(key));
  add_format(metadata, format);
  return metadata;
}

}  // namespace

std::span<const GgufFormat> gguf_formats() { return kFormats; }

void add_format(GgufMetadata& metadata, const GgufFormat& format) {
  metadata.add(kFileType, format.file_type);
  metadata.add(kQuantisation, kQuantisationVersion);
}

Result<Conversion> plan_gguf(const GgufFile& file, const GgufFormat& format) {
  int layers = 0;
  for (const TensorView& tensor : file.tensors())
    layers = std::max(layers, split_name(tensor.name).layer + 1);
  const GgufMix mix(format, layers, file.tensor("output.weight") == nullptr);
  Conversion plan;
  plan.format = format.name;
  plan.sources = {file.path()};
  plan.files.emplace_back();
  bool requantised = false;
  for (const TensorView& tensor : file.tensors()) {
    ConvertedTensor to;
    to.name = tensor.name;
    to.shape = tensor.shape;
    to.from = type_name(tensor.type);
    const bool is_weight = GgufMix::is_weight(tensor.name, tensor.shape);
    to.encoding.type = is_weight ? mix.type_of(tensor.name, tensor.shape.back()) : tensor.type;
    to.to = type_name(to.encoding.type);
    to.copied = to.encoding.type == tensor.type;
    requantised |= !to.copied && block_elements(tensor.type) > 1;
    to.bytes = to.copied ? EncodedBytes{tensor.bytes.size()}
                         : encoded_bytes(to.encoding, static_cast<uint64_t>(tensor.elements()));
    to.parts = {tensor};
    plan.tensors.push_back(std::move(to));
  }
  if (requantised) plan.notes.emplace_back(kLosesMore);
  lay_out_gguf(plan, copied_metadata(file, format));
  return plan;
}

}  // namespace pippin::store
