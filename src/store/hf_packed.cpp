#include "store/hf_packed.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "store/config_limits.h"
#include "store/quoted.h"

namespace pippin::store {
namespace {

using Shape = std::vector<int64_t>;

constexpr std::string_view kKinds[] = {
    "qweight",           "qzeros",       "scales",           "g_idx",
    "weight_packed",     "weight_scale", "weight_scale_inv", "weight_shape",
    "weight_zero_point", "weight_g_idx"};
constexpr std::string_view kActivationScales[] = {
    ".input_scale", ".output_scale", ".input_zero_point",  ".output_zero_point",
    ".k_scale",     ".v_scale",      ".input_global_scale"};

std::optional<TensorType> scale_type(std::string_view dtype) {
  if (dtype == "F32") return TensorType::kF32;
  if (dtype == "F16") return TensorType::kF16;
  if (dtype == "BF16") return TensorType::kBF16;
  return std::nullopt;
}

class PackedModule {
 public:
  PackedModule(const OtherSettings& settings, const std::string& name, const HfModule& module,
               const std::string& path)
      : settings_(settings), name_(name), module_(module), path_(path) {}

  Result<TensorView> run() {
    if (find("weight_packed") != nullptr) return packed_ints();
    if (find("qweight") == nullptr) return whole_codes();
    return settings_.method == QuantMethod::kAwq ? awq() : gptq();
  }

 private:
  Error wrong(std::string_view kind, std::string_view what, Code code = Code::kInvalidFile) const {
    const SafetensorsEntry* entry = find(kind);
    const std::string name = entry != nullptr ? entry->name : fmt::format("{}.{}", name_, kind);
    return fail(code, fmt::format("[model] {}: tensor {}: {}", path_, quoted(name), what), name);
  }

  const SafetensorsEntry* find(std::string_view kind) const {
    const auto place = module_.find(kind);
    return place == module_.end() ? nullptr : place->second;
  }
  /// A tensor of two dimensions. Errors: kInvalidFile.
  Result<const SafetensorsEntry*> matrix(std::string_view kind, std::string_view dtype) const {
    const SafetensorsEntry* entry = find(kind);
    if (entry == nullptr) return wrong(kind, "it is missing");
    if (entry->dtype != dtype)
      return wrong(kind, fmt::format("expected {}, but found {}", dtype, entry->dtype));
    if (entry->shape.size() != 2 || entry->bytes.empty())
      return wrong(kind, fmt::format("expected two dimensions, but found [{}]",
                                     fmt::join(entry->shape, ", ")));
    return entry;
  }
  Result<void> check_shape(std::string_view kind, const Shape& shape) const {
    const SafetensorsEntry* entry = find(kind);
    if (entry->shape == shape) return {};
    return wrong(kind, fmt::format("expected shape [{}], but found [{}]", fmt::join(shape, ", "),
                                   fmt::join(entry->shape, ", ")));
  }

  /// Takes scales of that shape.
  Result<void> take_scales(std::string_view kind, const Shape& shape, PackedForm& form) const {
    const SafetensorsEntry* entry = find(kind);
    if (entry == nullptr) return wrong(kind, "it is missing");
    const std::optional<TensorType> type = scale_type(entry->dtype);
    if (!type)
      return wrong(kind, fmt::format("expected F32, F16 or BF16, but found {}", entry->dtype));
    RETURN_IF_ERROR(check_shape(kind, shape));
    form.scale_type = *type;
    form.scales = entry->bytes;
    return {};
  }
  Result<void> take_zeros(std::string_view kind, std::string_view dtype, const Shape& shape,
                          PackedForm& form) const {
    ASSIGN_OR_RETURN(const SafetensorsEntry* entry, matrix(kind, dtype));
    RETURN_IF_ERROR(check_shape(kind, shape));
    form.zeros = entry->bytes;
    return {};
  }

  /// Takes the groups of columns, where they are not in order.
  Result<void> take_order(std::string_view kind, int64_t columns, PackedForm& form) const {
    const SafetensorsEntry* entry = find(kind);
    if (entry == nullptr) return {};
    if (entry->dtype != "I32")
      return wrong(kind, fmt::format("expected I32, but found {}", entry->dtype));
    RETURN_IF_ERROR(check_shape(kind, {columns}));
    bool in_order = true;
    for (int64_t k = 0; k < columns; ++k) {
      int32_t group;
      std::memcpy(&group, entry->bytes.data() + k * 4, sizeof group);
      if (group < 0 || group >= columns / form.group)
        return wrong(kind, fmt::format("column {} is said to be of group {}, but there are {}", k,
                                       group, columns / form.group));
      in_order = in_order && group == k / form.group;
    }
    if (!in_order) form.order = entry->bytes;
    return {};
  }

  /// The group of the configuration. Errors: kInvalidFile, where rows are not whole groups.
  Result<int64_t> group_of(std::string_view kind, int64_t columns) const {
    const int64_t group = settings_.group == 0 ? columns : settings_.group;
    if (columns % group == 0 && columns % 32 == 0) return group;
    return wrong(kind, fmt::format("expected rows of whole groups of {}, and of 32 columns, but "
                                   "they have {}",
                                   group, columns));
  }

  TensorView view(const SafetensorsEntry& codes, int64_t rows, int64_t columns,
                  const PackedForm& form) const {
    TensorView out;
    out.type = unpacked_type(form);
    out.shape = {rows, columns};
    out.bytes = codes.bytes;
    out.packed = std::make_shared<const PackedForm>(form);
    return out;
  }

  // `rows`, `columns`: of the codes' words, which are checked to hold whole codes.
  Result<TensorView> gptq() const {
    ASSIGN_OR_RETURN(const SafetensorsEntry* codes, matrix("qweight", "I32"));
    const int bits = settings_.bits;
    const int64_t words = codes->shape[0], rows = codes->shape[1];
    if (words > kFeedForwardMax || words * 32 % bits != 0 || rows * bits % 32 != 0)
      return wrong("qweight", fmt::format("its shape [{}] does not hold whole codes of {} bits",
                                          fmt::join(codes->shape, ", "), bits));
    const int64_t columns = words * 32 / bits;
    PackedForm form{.packing = Packing::kGptq, .bits = bits};
    form.zeros_less_one = settings_.zeros_less_one;
    ASSIGN_OR_RETURN(form.group, group_of("qweight", columns));
    RETURN_IF_ERROR(take_scales("scales", {columns / form.group, rows}, form));
    RETURN_IF_ERROR(take_zeros("qzeros", "I32", {columns / form.group, rows * bits / 32}, form));
    RETURN_IF_ERROR(take_order("g_idx", columns, form));
    return view(*codes, rows, columns, form);
  }

  Result<TensorView> awq() const {
    ASSIGN_OR_RETURN(const SafetensorsEntry* codes, matrix("qweight", "I32"));
    const int64_t columns = codes->shape[0], rows = codes->shape[1] * 8;
    PackedForm form{.packing = Packing::kAwq, .bits = settings_.bits};
    ASSIGN_OR_RETURN(form.group, group_of("qweight", columns));
    RETURN_IF_ERROR(take_scales("scales", {columns / form.group, rows}, form));
    RETURN_IF_ERROR(take_zeros("qzeros", "I32", {columns / form.group, rows / 8}, form));
    return view(*codes, rows, columns, form);
  }

  /// K of a weight_shape [N, K].
  Result<int64_t> packed_columns(int64_t rows) const {
    const SafetensorsEntry* shape = find("weight_shape");
    if (shape == nullptr) return wrong("weight_shape", "it is missing");
    if (shape->dtype != "I64" || shape->shape != Shape{2})
      return wrong("weight_shape", "expected two numbers of I64");
    int64_t sizes[2];
    std::memcpy(sizes, shape->bytes.data(), sizeof sizes);
    if (sizes[0] != rows || sizes[1] < 1 || sizes[1] > kFeedForwardMax)
      return wrong("weight_shape", fmt::format("it says [{}, {}], but there are {} rows of codes",
                                               sizes[0], sizes[1], rows));
    return sizes[1];
  }

  Result<TensorView> packed_ints() const {
    ASSIGN_OR_RETURN(const SafetensorsEntry* codes, matrix("weight_packed", "I32"));
    const int64_t rows = codes->shape[0], words = codes->shape[1];
    ASSIGN_OR_RETURN(const int64_t columns, packed_columns(rows));
    PackedForm form{.packing = Packing::kPackedInts};
    form.bits = words == columns / 8 ? 4 : 8;
    if (words > kFeedForwardMax || columns % 32 != 0 || words * 32 != columns * form.bits)
      return wrong("weight_packed",
                   fmt::format("its shape [{}] does not hold {} columns of 4 or 8 bits, by 32",
                               fmt::join(codes->shape, ", "), columns));
    RETURN_IF_ERROR(take_row_scales(rows, columns, form));
    const int64_t groups = columns / form.group;
    if (find("weight_zero_point") != nullptr) {
      RETURN_IF_ERROR(
          take_zeros("weight_zero_point", "I32", {(rows * form.bits + 31) / 32, groups}, form));
    }
    RETURN_IF_ERROR(take_order("weight_g_idx", columns, form));
    return view(*codes, rows, columns, form);
  }

  /// Takes weight_scale [N, groups].
  Result<void> take_row_scales(int64_t rows, int64_t columns, PackedForm& form) const {
    const SafetensorsEntry* scales = find("weight_scale");
    if (scales == nullptr) return wrong("weight_scale", "it is missing");
    const int64_t groups = scales->shape.size() == 2 ? scales->shape[1] : 0;
    if (groups < 1 || columns % groups != 0)
      return wrong("weight_scale", fmt::format("its shape [{}] does not divide {} columns",
                                               fmt::join(scales->shape, ", "), columns));
    form.group = columns / groups;
    return take_scales("weight_scale", {rows, groups}, form);
  }

  /// Codes of a byte: int8, or E4M3.
  Result<TensorView> whole_codes() const {
    const SafetensorsEntry* codes = find("weight");
    const bool ints = codes->dtype == "I8";
    if (codes->shape.size() != 2 || codes->bytes.empty() || codes->shape[1] % 32 != 0)
      return wrong("weight", fmt::format("expected two dimensions, the second a multiple of 32, "
                                         "but found [{}]",
                                         fmt::join(codes->shape, ", ")));
    const int64_t rows = codes->shape[0], columns = codes->shape[1];
    PackedForm form{.packing = ints ? Packing::kInt8 : Packing::kFp8, .bits = 8};
    const char* kind = find("weight_scale_inv") != nullptr ? "weight_scale_inv" : "weight_scale";
    RETURN_IF_ERROR(take_blocks(kind, rows, columns, form));
    if (const SafetensorsEntry* zeros = find("weight_zero_point"); zeros != nullptr) {
      if (!ints || zeros->dtype != "I8")
        return wrong("weight_zero_point", "expected I8, of codes of I8");
      RETURN_IF_ERROR(check_shape("weight_zero_point", find(kind)->shape));
      form.zeros = zeros->bytes;
    }
    return view(*codes, rows, columns, form);
  }

  /// Takes scales of the whole weight, of rows, of groups of a row, or of blocks of rows and
  /// columns.
  Result<void> take_blocks(std::string_view kind, int64_t rows, int64_t columns,
                           PackedForm& form) const {
    const SafetensorsEntry* scales = find(kind);
    if (scales == nullptr) return wrong(kind, "it is missing");
    const Shape& shape = scales->shape;
    const auto blocks = [](int64_t size, int64_t block) { return (size + block - 1) / block; };
    const int64_t block_rows = settings_.block_rows, block_columns = settings_.block_columns;
    form.block_rows = 1;
    form.group = columns;
    if (shape.empty() || shape == Shape{1} || shape == Shape{1, 1}) {
      form.block_rows = rows;
    } else if (shape == Shape{blocks(rows, block_rows), blocks(columns, block_columns)} &&
               form.packing == Packing::kFp8) {
      form.block_rows = block_rows;
      form.group = block_columns;
    } else if (shape.size() == 2 && shape[0] == rows && shape[1] > 0 && columns % shape[1] == 0) {
      form.group = columns / shape[1];
    } else if (shape != Shape{rows}) {
      return wrong(kind,
                   fmt::format("expected scales of the weight [{}, {}], of its rows, or of "
                               "blocks of {} by {}, but found [{}]",
                               rows, columns, block_rows, block_columns, fmt::join(shape, ", ")));
    }
    return take_scales(kind, shape, form);
  }

  const OtherSettings& settings_;
  const std::string& name_;
  const HfModule& module_;
  const std::string& path_;
};

}  // namespace

bool is_packed_kind(std::string_view kind) {
  return std::ranges::find(kKinds, kind) != std::end(kKinds);
}

bool is_activation_scale(std::string_view name) {
  return std::ranges::any_of(kActivationScales,
                             [&](std::string_view end) { return name.ends_with(end); });
}

bool is_packed(const HfModule& module) {
  const auto weight = module.find("weight");
  if (weight == module.end()) return module.contains("qweight") || module.contains("weight_packed");
  return weight->second->dtype == "I8" || weight->second->dtype == "F8_E4M3";
}

Result<TensorView> read_packed(const OtherSettings& settings, const std::string& name,
                               const HfModule& module, const std::string& path) {
  return PackedModule(settings, name, module, path).run();
}

}  // namespace pippin::store
