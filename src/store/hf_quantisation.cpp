#include "store/hf_quantisation.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <string_view>

#include "base/json_read.h"
#include "store/config_limits.h"
#include "store/quoted.h"

namespace pippin::store {
namespace {

// --- MLX ---

/// A mode without a choice: its bits and its group.
struct Mode {
  std::string_view name;
  TensorType type;
  int bits, group;
  std::optional<Packing> packing = {};
};
constexpr Mode kModes[] = {{"mxfp4", TensorType::kMXFP4, 4, 32},
                           {"nvfp4", TensorType::kNVFP4, 4, 16, Packing::kNvFp4},
                           {"mxfp8", TensorType::kQ8_0, 8, 32, Packing::kMxFp8}};

Result<MlxSettings> read_affine(const HfFields& fields) {
  MlxSettings settings;
  ASSIGN_OR_RETURN(settings.bits, fields.size("bits", 2, 8));
  ASSIGN_OR_RETURN(settings.group, fields.size("group_size", 32, 128));
  const std::optional<TensorType> type = affine_type(settings.bits);
  if (!type)
    return fields.wrong("bits",
                        fmt::format("expected 2, 3, 4, 5, 6 or 8, but found {}", settings.bits));
  settings.type = *type;
  if (settings.group != 32 && settings.group != 64 && settings.group != 128)
    return fields.wrong("group_size",
                        fmt::format("expected 32, 64 or 128, but found {}", settings.group));
  return settings;
}

Result<MlxSettings> read_settings(const HfFields& fields) {
  ASSIGN_OR_RETURN(const std::string name, fields.text("mode", "affine"));
  if (name == "affine") return read_affine(fields);
  const auto* mode = std::ranges::find(kModes, name, &Mode::name);
  if (mode == std::end(kModes))
    return fields.unsupported(
        "mode", fmt::format("quantisation {} is not supported; this build reads affine, mxfp4, "
                            "mxfp8 and nvfp4",
                            quoted(name)));
  ASSIGN_OR_RETURN(const int bits, fields.size("bits", 2, 8, mode->bits));
  ASSIGN_OR_RETURN(const int group, fields.size("group_size", 16, 128, mode->group));
  if (bits != mode->bits)
    return fields.wrong("bits",
                        fmt::format("expected {} with {}, but found {}", mode->bits, name, bits));
  if (group != mode->group)
    return fields.wrong("group_size",
                        fmt::format("expected {} with {}, but found {}", mode->group, name, group));
  return MlxSettings{mode->type, group, bits, mode->packing};
}

Result<void> read_mlx(const HfFields& fields, HfQuantisation& out) {
  ASSIGN_OR_RETURN(out.mlx, read_settings(fields));
  for (const auto& [key, value] : fields.json()) {
    const std::string_view name(key.data(), key.size());
    if (value.is_object()) {
      ASSIGN_OR_RETURN(const std::optional<HfFields> module, fields.object(name));
      ASSIGN_OR_RETURN(const MlxSettings settings, read_settings(*module));
      out.exceptions.emplace(name, settings);
    } else if (value.is_bool()) {
      out.exceptions.emplace(name, value.get_bool() ? out.mlx : std::optional<MlxSettings>());
    }
  }
  return {};
}

// --- Others ---

// -1 is a whole row.
Result<int64_t> read_group(const HfFields& fields) {
  const boost::json::value* value = fields.find("group_size");
  if (value != nullptr && value->is_int64() && value->get_int64() == -1) return int64_t{0};
  ASSIGN_OR_RETURN(const int group, fields.size("group_size", 16, kWidthMax));
  return int64_t{group};
}

Result<OtherSettings> read_gptq(const HfFields& fields) {
  OtherSettings settings{.method = QuantMethod::kGptq};
  ASSIGN_OR_RETURN(settings.bits, fields.size("bits", 2, 8));
  if (settings.bits > 4 && settings.bits != 8)
    return fields.unsupported(
        "bits",
        fmt::format("GPTQ with {} bits is not supported; expected 2, 3, 4 or 8", settings.bits));
  ASSIGN_OR_RETURN(settings.group, read_group(fields));
  ASSIGN_OR_RETURN(const std::string form, fields.text("checkpoint_format", "gptq"));
  if (form != "gptq" && form != "gptq_v2")
    return fields.unsupported(
        "checkpoint_format",
        fmt::format("{} is not supported; expected gptq or gptq_v2", quoted(form)));
  settings.zeros_less_one = form == "gptq";
  const boost::json::value* dynamic = fields.find("dynamic");
  if (dynamic != nullptr && dynamic->is_object() && !dynamic->get_object().empty())
    return fields.unsupported("dynamic", "settings that differ by module are not supported");
  return settings;
}

Result<OtherSettings> read_awq(const HfFields& fields) {
  OtherSettings settings{.method = QuantMethod::kAwq};
  ASSIGN_OR_RETURN(settings.bits, fields.size("bits", 2, 8));
  if (settings.bits != 4)
    return fields.unsupported(
        "bits", fmt::format("AWQ with {} bits is not supported; expected 4", settings.bits));
  ASSIGN_OR_RETURN(settings.group, read_group(fields));
  ASSIGN_OR_RETURN(std::string version, fields.text("version", "gemm"));
  std::ranges::transform(version, version.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (version != "gemm")
    return fields.unsupported("version",
                              fmt::format("{} is not supported; expected gemm", quoted(version)));
  return settings;
}

// A list of two sizes.
Result<void> read_block(const HfFields& fields, std::string_view key, OtherSettings& settings) {
  if (!fields.has(key)) return {};
  ASSIGN_OR_RETURN(const std::vector<double> sizes, fields.numbers(key, 2));
  for (const double size : sizes)
    if (size < 1 || size > kWidthMax) return fields.wrong(key, "expected two sizes");
  settings.block_rows = static_cast<int>(sizes[0]);
  settings.block_columns = static_cast<int>(sizes[1]);
  return {};
}

Result<OtherSettings> read_compressed(const HfFields& fields) {
  OtherSettings settings{.method = QuantMethod::kCompressedTensors};
  constexpr std::string_view kFormats[] = {"pack-quantized", "int-quantized", "float-quantized",
                                           "naive-quantized", "mixed-precision"};
  const auto check = [&](const HfFields& of) -> Result<void> {
    ASSIGN_OR_RETURN(const std::string format, of.text("format", "int-quantized"));
    if (std::ranges::find(kFormats, format) != std::end(kFormats)) return {};
    return of.unsupported("format", fmt::format("compressed-tensors' {} is not supported; this "
                                                "build reads pack-quantized, int-quantized and "
                                                "float-quantized",
                                                quoted(format)));
  };
  RETURN_IF_ERROR(check(fields));
  ASSIGN_OR_RETURN(const std::optional<HfFields> groups, fields.object("config_groups"));
  if (!groups) return settings;
  for (const auto& [key, value] : groups->json()) {
    if (!value.is_object()) continue;
    ASSIGN_OR_RETURN(const std::optional<HfFields> group,
                     groups->object(std::string_view(key.data(), key.size())));
    RETURN_IF_ERROR(check(*group));
    ASSIGN_OR_RETURN(const std::optional<HfFields> weights, group->object("weights"));
    if (weights) RETURN_IF_ERROR(read_block(*weights, "block_structure", settings));
  }
  return settings;
}

Result<OtherSettings> read_fp8(const HfFields& fields) {
  OtherSettings settings{.method = QuantMethod::kFp8};
  ASSIGN_OR_RETURN(const std::string format, fields.text("fmt", "e4m3"));
  if (format != "e4m3" && format != "float8_e4m3fn")
    return fields.unsupported("fmt",
                              fmt::format("{} is not supported; expected e4m3", quoted(format)));
  RETURN_IF_ERROR(read_block(fields, "weight_block_size", settings));
  return settings;
}

Result<std::optional<OtherSettings>> read_other(const HfFields& fields, const std::string& method) {
  using Read = Result<OtherSettings> (*)(const HfFields&);
  constexpr std::pair<std::string_view, Read> kMethods[] = {{"gptq", read_gptq},
                                                            {"awq", read_awq},
                                                            {"compressed-tensors", read_compressed},
                                                            {"fp8", read_fp8},
                                                            {"fbgemm_fp8", read_fp8}};
  for (const auto& [name, read] : kMethods) {
    if (method != name) continue;
    ASSIGN_OR_RETURN(const OtherSettings settings, read(fields));
    return std::optional(settings);
  }
  return fields.unsupported(
      "quant_method",
      fmt::format("weights quantised by {} are not supported; this build reads F32, F16, BF16, "
                  "what MLX quantised, GPTQ, AWQ, FP8 and compressed-tensors",
                  quoted(method)));
}

}  // namespace

std::string_view mode_name(const MlxSettings& settings) {
  const auto* mode = std::ranges::find(kModes, settings.type, &Mode::type);
  return mode == std::end(kModes) ? "affine" : mode->name;
}

Result<HfQuantisation> read_hf_quantisation(const HfFields& root) {
  HfQuantisation out;
  ASSIGN_OR_RETURN(const std::optional<HfFields> mlx, root.object("quantization"));
  if (mlx) {
    RETURN_IF_ERROR(read_mlx(*mlx, out));
    return out;
  }
  ASSIGN_OR_RETURN(const std::optional<HfFields> fields, root.object("quantization_config"));
  if (!fields) return out;
  if (!fields->has("quant_method")) {
    RETURN_IF_ERROR(read_mlx(*fields, out));
    return out;
  }
  ASSIGN_OR_RETURN(const std::string method, fields->text("quant_method"));
  out.mxfp4_blocks = method == "mxfp4";
  if (!out.mxfp4_blocks) {
    ASSIGN_OR_RETURN(out.other, read_other(*fields, method));
  }
  return out;
}

}  // namespace pippin::store
