#include "store/gguf_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/check.h"
#include "store/gguf_types.h"

namespace pippin::store {
namespace {

using enum TensorType;

constexpr uint32_t kVersion = 3, kUint32 = 4, kString = 8, kArray = 9;
constexpr uint32_t kQuantisationVersion = 2;  // of ggml's block layouts
constexpr uint64_t kAlignment = 32;
constexpr std::string_view kFileType = "general.file_type",
                           kQuantisation = "general.quantization_version";

constexpr GgufFormat kFormats[] = {
    {"f16", "F16", kF16, false, 1},        {"q4_0", "Q4_0", kQ4_0, false, 2},
    {"q8_0", "Q8_0", kQ8_0, false, 7},     {"q4_k_m", "Q4_K_M", kQ4_K, true, 15},
    {"q5_k_m", "Q5_K_M", kQ5_K, true, 17}, {"q6_k", "Q6_K", kQ6_K, false, 18},
};

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

/// "blk.3.attn_q.weight" is {3, "attn_q.weight"}; -1: it is of no layer.
struct Place {
  int layer = -1;
  std::string_view part;
};

Place place_of(std::string_view name) {
  if (!name.starts_with("blk.")) return {-1, name};
  int layer = 0;
  const char* end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data() + 4, end, layer);
  if (error != std::errc() || at == end || *at != '.' || layer < 0) return {-1, name};
  return {layer, std::string_view(at + 1, static_cast<size_t>(end - at - 1))};
}

// Norms, routers, convolutions and the like are small, and answers depend on them.
bool is_weight_matrix(const TensorView& tensor) {
  constexpr std::string_view kKept[] = {"_norm",          "ffn_gate_inp",         "ssm_conv1d",
                                        "shortconv.conv", "attn_rel_b",           "altup",
                                        "laurel",         "position_embd",        "token_types",
                                        "time_mix_",      "per_layer_model_proj", "attn_sinks"};
  const std::string_view name = tensor.name;
  return tensor.shape.size() >= 2 && name.ends_with(".weight") &&
         std::ranges::none_of(kKept, [&](std::string_view part) {
           return name.find(part) != std::string_view::npos;
         });
}

class Planner {
 public:
  Planner(const GgufFile& file, const GgufFormat& format) : file_(file), format_(format) {
    for (const TensorView& tensor : file.tensors())
      layers_ = std::max(layers_, place_of(tensor.name).layer + 1);
    is_tied_ = file.tensor("output.weight") == nullptr;
  }

  Result<Conversion> run() {
    Conversion plan;
    plan.format = format_.name;
    plan.sources = {file_.path()};
    plan.files.emplace_back();
    bool requantised = false;
    for (const TensorView& tensor : file_.tensors()) {
      ConvertedTensor to;
      to.name = tensor.name;
      to.shape = tensor.shape;
      to.from = type_name(tensor.type);
      to.encoding.type = is_weight_matrix(tensor) ? fitting(wanted(tensor), tensor) : tensor.type;
      to.to = type_name(to.encoding.type);
      to.copied = to.encoding.type == tensor.type;
      requantised |= !to.copied && block_elements(tensor.type) > 1;
      to.bytes = to.copied ? EncodedBytes{tensor.bytes.size()}
                           : encoded_bytes(to.encoding, static_cast<uint64_t>(tensor.elements()));
      to.parts = {tensor};
      plan.tensors.push_back(std::move(to));
    }
    if (requantised)
      plan.notes.emplace_back(
          "the source is quantised already: what it lost stays lost, and each step loses more");
    lay_out(plan);
    return plan;
  }

 private:
  // Layers at both ends, and every third between them.
  bool takes_more_bits(int layer) const {
    const int eighth = layers_ / 8;
    return layer < eighth || layer >= 7 * layers_ / 8 || (layer - eighth) % 3 == 2;
  }

  TensorType wanted(const TensorView& tensor) const {
    const Place place = place_of(tensor.name);
    const bool is_output =
        tensor.name == "output.weight" || (is_tied_ && tensor.name == "token_embd.weight");
    if (format_.type == kF16) return kF16;
    if (is_output && format_.type != kQ8_0) return kQ6_K;
    if (!format_.is_mix) return format_.type;
    const bool is_sensitive = place.part == "attn_v.weight" || place.part.starts_with("ffn_down");
    if (is_sensitive && takes_more_bits(place.layer)) return kQ6_K;
    if (place.part == "attn_qkv.weight") return format_.type == kQ4_K ? kQ5_K : kQ6_K;
    return format_.type;
  }

  static TensorType fitting(TensorType type, const TensorView& tensor) {
    const auto fits = [&](TensorType one) {
      return tensor.shape.back() % block_elements(one) == 0;
    };
    if (fits(type)) return type;
    const TensorType smaller = type == kQ4_K ? kQ5_0 : kQ8_0;
    return fits(smaller) ? smaller : kF16;
  }

  std::string metadata(size_t& count) const {
    std::string out;
    count = 0;
    for (const auto& [key, value] : file_.metadata()) {
      if (!is_copied_key(key)) continue;
      put_text(out, key);
      out += raw_value(key);
      ++count;
    }
    const auto add = [&](std::string_view key, uint32_t value) {
      put_text(out, key);
      put(out, kUint32);
      put(out, value);
      ++count;
    };
    add(kFileType, format_.file_type);
    add(kQuantisation, kQuantisationVersion);
    return out;
  }

  void lay_out(Conversion& plan) const {
    std::string& head = plan.files[0].head;
    size_t keys = 0;
    const std::string values = metadata(keys);
    head = "GGUF";
    put(head, kVersion);
    put(head, uint64_t{plan.tensors.size()});
    put(head, uint64_t{keys});
    head += values;
    const auto aligned = [](uint64_t at) {
      return (at + kAlignment - 1) / kAlignment * kAlignment;
    };
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

  const GgufFile& file_;
  const GgufFormat& format_;
  int layers_ = 0;
  bool is_tied_ = false;
};

}  // namespace

std::span<const GgufFormat> gguf_formats() { return kFormats; }

Result<Conversion> plan_gguf(const GgufFile& file, const GgufFormat& format) {
  return Planner(file, format).run();
}

}  // namespace pippin::store
