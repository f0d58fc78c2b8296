#include "store/tensor.h"

#include <array>

#include "base/check.h"

namespace pippin::store {
namespace {

struct Format {
  TensorType type;
  std::string_view name;
  int elements;
  int bytes;
};

constexpr std::array<Format, 17> kFormats = {{
    {TensorType::kF32, "F32", 1, 4},
    {TensorType::kF16, "F16", 1, 2},
    {TensorType::kBF16, "BF16", 1, 2},
    {TensorType::kQ4_0, "Q4_0", 32, 18},
    {TensorType::kQ4_1, "Q4_1", 32, 20},
    {TensorType::kQ5_0, "Q5_0", 32, 22},
    {TensorType::kQ5_1, "Q5_1", 32, 24},
    {TensorType::kQ8_0, "Q8_0", 32, 34},
    {TensorType::kQ2_K, "Q2_K", 256, 84},
    {TensorType::kQ3_K, "Q3_K", 256, 110},
    {TensorType::kQ4_K, "Q4_K", 256, 144},
    {TensorType::kQ5_K, "Q5_K", 256, 176},
    {TensorType::kQ6_K, "Q6_K", 256, 210},
    {TensorType::kIQ4_NL, "IQ4_NL", 32, 18},
    {TensorType::kIQ4_XS, "IQ4_XS", 256, 136},
    {TensorType::kMXFP4, "MXFP4", 32, 17},
    {TensorType::kAffine, "affine", 0, 0},  // has no blocks
}};

// The table is indexed by the enum's value.
constexpr bool in_enum_order() {
  for (size_t i = 0; i < kFormats.size(); ++i) {
    if (static_cast<size_t>(kFormats[i].type) != i) return false;
  }
  return true;
}
static_assert(in_enum_order());

const Format& format_of(TensorType type) {
  const auto index = static_cast<size_t>(type);
  CHECK(index < kFormats.size(), "not a TensorType");
  return kFormats[index];
}

}  // namespace

std::string_view type_name(TensorType type) { return format_of(type).name; }
int block_elements(TensorType type) {
  CHECK(type != TensorType::kAffine, "affine tensors have no blocks");
  return format_of(type).elements;
}
int block_bytes(TensorType type) {
  CHECK(type != TensorType::kAffine, "affine tensors have no blocks");
  return format_of(type).bytes;
}

std::string TensorView::type_text() const {
  const std::string text(type_name(type));
  return type == TensorType::kAffine ? text + " " + std::to_string(mlx.bits) + "-bit" : text;
}

TensorView TensorView::slice(int64_t first, int64_t count) const {
  CHECK(!shape.empty() && first >= 0 && count > 0 && first + count <= shape[0]);
  TensorView part = *this;
  part.shape[0] = count;
  const auto cut = [&](std::span<const std::byte>& all) {
    const size_t each = all.size() / static_cast<size_t>(shape[0]);
    all = all.subspan(static_cast<size_t>(first) * each, static_cast<size_t>(count) * each);
  };
  cut(part.bytes);
  cut(part.mlx.scales);
  cut(part.mlx.biases);
  return part;
}

}  // namespace pippin::store
