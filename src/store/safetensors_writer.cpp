#include "store/safetensors_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <optional>

#include "base/files.h"
#include "base/json_read.h"
#include "store/hf_config.h"
#include "store/hf_files.h"
#include "store/hf_folder.h"
#include "store/hf_tensors.h"
#include "store/quoted.h"
#include "store/safetensors.h"

namespace pippin::store {
namespace {

namespace json = boost::json;
using enum TensorType;

constexpr MlxFormat kFormats[] = {
    {"2bit", kAffine2},
    {"3bit", kAffine3},
    {"4bit", kAffine4},
    {"5bit", kAffine5},
    {"6bit", kAffine6},
    {"8bit", kAffine8},
    {"mxfp4", kMXFP4},
    {"mixed_2_6", kAffine2, kAffine6},
    {"mixed_3_4", kAffine3, kAffine4},
    {"mixed_3_6", kAffine3, kAffine6},
    {"mixed_4_6", kAffine4, kAffine6},
};

constexpr const char* kIndex = "model.safetensors.index.json";

std::optional<TensorType> float_type(std::string_view dtype) {
  for (const TensorType type : {kF32, kF16, kBF16})
    if (dtype == type_name(type)) return type;
  return std::nullopt;
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct Expert {
  std::string stacked;  // the name of the tensor of all experts
  int number = 0;
};

// MLX's name of an expert's matrix: those of a projection lie in one tensor.
std::optional<Expert> expert_of(std::string_view name) {
  constexpr std::pair<std::string_view, std::string_view> kProjections[] = {
      {"gate_proj", "gate_proj"}, {"up_proj", "up_proj"}, {"down_proj", "down_proj"},
      {"w1", "gate_proj"},        {"w3", "up_proj"},      {"w2", "down_proj"}};
  constexpr std::string_view kInner = ".experts.";
  const size_t at = name.find(kInner);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view parent = name.substr(0, at), rest = name.substr(at + kInner.size());
  const size_t dot = rest.find('.');
  if (dot == 0 || dot > 4 || !(parent.ends_with(".mlp") || parent.ends_with(".block_sparse_moe")))
    return std::nullopt;
  int number = 0;
  for (const char digit : rest.substr(0, dot)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + (digit - '0');
  }
  const std::string_view projection = rest.substr(dot + 1, rest.find('.', dot + 1) - dot - 1);
  for (const auto& [theirs, mlx] : kProjections)
    if (projection == theirs && rest.ends_with(".weight"))
      return Expert{fmt::format("{}.switch_mlp.{}.weight", parent, mlx), number};
  return std::nullopt;
}

// The number of the layer in a module's path; 0 outside of layers, as mlx-lm has it.
int layer_in(std::string_view path) {
  constexpr std::string_view kLayers = "layers.";
  const size_t at = path.find(kLayers);
  int layer = 0;
  if (at == std::string_view::npos) return 0;
  for (const char c : path.substr(at + kLayers.size(), 4)) {
    if (c < '0' || c > '9') break;
    layer = layer * 10 + (c - '0');
  }
  return layer;
}

class Planner {
 public:
  Planner(std::string folder, const MlxFormat& format, int group, uint64_t shard_bytes)
      : folder_(std::move(folder)), format_(format), group_(group), shard_bytes_(shard_bytes) {}

  Result<Conversion> run() {
    RETURN_IF_ERROR(open());
    for (const SafetensorsFile& file : *files_)
      for (const SafetensorsEntry& entry : file.entries()) entries_.emplace(entry.name, &entry);
    for (const SafetensorsFile& file : *files_)
      for (const SafetensorsEntry& entry : file.entries()) RETURN_IF_ERROR(add(entry));
    RETURN_IF_ERROR(add_experts());
    if (format_.is_mix() && !has_down_)
      return fail(Code::kUnsupported,
                  fmt::format("[convert] {}: it has no down_proj, which {} goes by; --to 4bit "
                              "works",
                              folder_, format_.name),
                  "--to");
    plan_.format = fmt::format("{} in groups of {}", format_.name, group_);
    plan_.is_folder = true;
    plan_.holds = files_;
    lay_out();
    add_files();
    return std::move(plan_);
  }

 private:
  Error unsupported(std::string_view name, std::string_view what) const {
    return fail(Code::kUnsupported,
                fmt::format("[convert] {}: {}: {}", folder_, store::quoted(name), what),
                std::string(name));
  }

  Result<void> open() {
    ASSIGN_OR_RETURN(const HfFolder checked, HfFolder::open(folder_));
    tied_ = checked.config().tied_output;
    folder_ = checked.path();
    ASSIGN_OR_RETURN(const std::string text, read_hf_text(folder_, "config.json"));
    const std::string path = folder_ + "/config.json";
    ASSIGN_OR_RETURN(config_json_, parse_object(text, path));
    ASSIGN_OR_RETURN(config_, read_hf_config(text, path));
    for (const char* field : {"quantization_config", "compression_config"}) {
      const json::object* other = object_in(config_json_, field);
      if (other != nullptr && other->contains("quant_method"))
        return unsupported(field,
                           fmt::format("weights that {} quantised are not converted; take the "
                                       "model's original weights",
                                       string_in(*other, "quant_method")));
    }
    if (!config_.family->transposed.empty())
      return unsupported("model_type",
                         "this family keeps its weights turned, [in, out]; "
                         "mlx_lm.convert converts it");
    ASSIGN_OR_RETURN(const std::vector<std::string> names, hf_weight_files(folder_));
    files_ = std::make_shared<std::vector<SafetensorsFile>>();
    plan_.sources.push_back(path);
    for (const std::string& name : names) {
      ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(folder_ + "/" + name));
      files_->push_back(std::move(file));
      plan_.sources.push_back(folder_ + "/" + name);
    }
    return {};
  }

  const SafetensorsEntry* entry(const std::string& name) const {
    const auto place = entries_.find(name);
    return place == entries_.end() ? nullptr : place->second;
  }

  // A module's path in the text model; empty: it is of another part.
  std::string text_path(std::string_view path) const {
    if (!config_.is_part) return std::string(path);
    constexpr std::string_view kOuter = "language_model.", kInner = "model.language_model.";
    if (path.starts_with(kOuter)) return std::string(path.substr(kOuter.size()));
    if (path.starts_with(kInner)) return "model." + std::string(path.substr(kInner.size()));
    return path.starts_with("lm_head") ? std::string(path) : std::string();
  }

  // What a weight is to GGUF: "blk.3.attn_q.weight"; empty: it is no part of the text model.
  std::string meaning(std::string_view module) const {
    const std::string path = text_path(module);
    return path.empty() ? std::string() : gguf_tensor_name(path + ".weight", *config_.family);
  }

  static bool is_kept(std::string_view gguf_name) {
    constexpr std::string_view kKept[] = {"_norm", "ffn_gate_inp", "conv1d", "shortconv.conv"};
    return gguf_name.empty() ||
           std::ranges::any_of(kKept, [&](std::string_view part) { return has(gguf_name, part); });
  }

  Result<void> add(const SafetensorsEntry& source) {
    const std::string& name = source.name;
    const size_t dot = name.rfind('.');
    const std::string module = name.substr(0, dot == std::string::npos ? 0 : dot);
    const std::string kind = dot == std::string::npos ? "" : name.substr(dot + 1);
    // What follows from elsewhere: loaders expect it to be absent.
    if ((tied_ && has(module, "lm_head")) || name.ends_with(".rotary_emb.inv_freq")) return {};
    if ((kind == "scales" || kind == "biases") && entry(module + ".weight") != nullptr) return {};
    ASSIGN_OR_RETURN(const TensorView view, view_of(source, kind == "weight" ? module : ""));
    const bool is_expert = has(name, ".experts.") || has(name, ".experts_");
    if (const std::optional<Expert> expert = expert_of(name)) {
      experts_[expert->stacked][expert->number] = view;
      return {};
    }
    if (is_expert && source.shape.size() > 1)
      return unsupported(name, "experts of this form are not converted; mlx_lm.convert does it");
    const size_t rank = view.shape.size();
    const bool is_matrix = rank == 2 || (rank == 3 && has(module, ".switch_mlp."));
    if (kind != "weight" || !is_matrix || is_kept(meaning(module))) {
      keep(source, view);
    } else {
      add_weight(name, view.shape, {view});
    }
    return {};
  }

  // Floats, or codes with their scales. HfFolder::open() has checked those of the text model.
  Result<TensorView> view_of(const SafetensorsEntry& source, const std::string& module) const {
    if (config_.quantisation.other || config_.quantisation.mxfp4_blocks)
      return unsupported(source.name, "what another tool than MLX quantised is not converted yet");
    TensorView view;
    view.name = source.name;
    view.shape = source.shape;
    view.bytes = source.bytes;
    const SafetensorsEntry *scales = entry(module + ".scales"), *biases = entry(module + ".biases");
    const std::optional<TensorType> type = float_type(source.dtype);
    if (scales == nullptr || meaning(module).empty()) {
      if (scales != nullptr)
        return unsupported(source.name, "it is quantised, but no part of the text model");
      view.type = type.value_or(kF32);
      return view;
    }
    std::optional<MlxSettings> settings = config_.quantisation.mlx;
    const auto exception = config_.quantisation.exceptions.find(module);
    if (exception != config_.quantisation.exceptions.end()) settings = exception->second;
    if (!settings) return unsupported(source.name, "config.json does not say how it is quantised");
    if (settings->packing)
      return unsupported(source.name, fmt::format("{} is not converted yet", mode_name(*settings)));
    view.type = settings->type;
    view.mlx = {.group = settings->group, .scales = scales->bytes};
    if (biases != nullptr) {
      view.mlx.scale_type = float_type(scales->dtype).value_or(kF16);
      view.mlx.biases = biases->bytes;
    }
    view.shape.back() = scales->shape.back() * settings->group;
    return view;
  }

  // Copies a tensor as it is.
  void keep(const SafetensorsEntry& source, const TensorView& view) {
    ConvertedTensor to;
    to.name = source.name;
    to.from = to.to = view.has_blocks() ? source.dtype : type_name(view.type);
    to.shape = view.shape;
    to.copied = true;
    if (!view.has_blocks()) to.encoding = encoding_of(view);
    to.parts = {view};
    plan_.tensors.push_back(std::move(to));
  }

  static Encoding encoding_of(const TensorView& view) {
    return {view.type, view.mlx.group, view.mlx.scale_type};
  }

  TensorType wanted(const std::string& module) {
    if (!format_.is_mix()) return format_.type;
    has_down_ |= has(module, "down_proj");
    const int layers = config_.model.layers, layer = layer_in(module), eighth = layers / 8;
    const bool more = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
    const bool is_value =
        has(module, "v_proj") || has(module, "v_a_proj") || has(module, "v_b_proj");
    const bool is_high = ((is_value || has(module, "down_proj")) && more) || has(module, "lm_head");
    return is_high ? format_.high : format_.type;
  }

  // `parts`: one matrix, or those of all experts.
  void add_weight(const std::string& name, std::vector<int64_t> shape,
                  std::vector<TensorView> parts) {
    const TensorView& first = parts.front();
    const bool is_float = first.has_blocks();
    // MLX's mxfp4 has no type of floats beside it.
    const TensorType floats = is_float                ? first.type
                              : is_affine(first.type) ? first.mlx.scale_type
                                                      : kBF16;
    ConvertedTensor to;
    to.name = name;
    to.shape = std::move(shape);
    to.encoding = {wanted(name.substr(0, name.rfind('.'))), group_, floats};
    if (to.encoding.type == kMXFP4) to.encoding.scale_type = kF16;  // as a reader has it
    if (to.shape.back() % group_ != 0) to.encoding = {floats};
    to.from = type_name(first.type);
    to.to = type_name(to.encoding.type);
    to.copied = is_float ? first.type == to.encoding.type : encoding_of(first) == to.encoding;
    requantised_ |= !is_float && !to.copied;
    to.parts = std::move(parts);
    plan_.tensors.push_back(std::move(to));
  }

  // Files list tensors in any order.
  Result<void> add_experts() {
    for (auto& [name, of_number] : experts_) {
      std::vector<TensorView> parts;
      for (auto& [number, view] : of_number) {
        if (number != static_cast<int>(parts.size()))
          return unsupported(name, fmt::format("expert {} is missing", parts.size()));
        if (!parts.empty() &&
            (view.shape != parts.front().shape || view.type != parts.front().type))
          return unsupported(view.name, "experts differ in shape or type");
        parts.push_back(view);
      }
      std::vector<int64_t> shape = parts.front().shape;
      shape.insert(shape.begin(), static_cast<int64_t>(parts.size()));
      add_weight(name, std::move(shape), std::move(parts));
    }
    return {};
  }

  void lay_out() {
    std::vector<size_t> shard_of;
    uint64_t at = 0;
    for (ConvertedTensor& tensor : plan_.tensors) {
      if (!tensor.copied) tensor.bytes = encoded_bytes(tensor.encoding, elements_of(tensor));
      if (tensor.copied) tensor.bytes = copied_bytes(tensor);
      if (plan_.files.empty() || (at > 0 && at + tensor.bytes.sum() > shard_bytes_)) {
        plan_.files.emplace_back();
        at = 0;
      }
      tensor.file = plan_.files.size() - 1;
      tensor.at = {at, at + tensor.bytes.values, at + tensor.bytes.values + tensor.bytes.scales};
      at += tensor.bytes.sum();
      plan_.files.back().bytes = at;
    }
    json::object weight_map;
    std::vector<json::object> heads(plan_.files.size());
    const size_t count = plan_.files.size();
    for (size_t i = 0; i < count; ++i) {
      plan_.files[i].name = count == 1
                                ? "model.safetensors"
                                : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, count);
      heads[i]["__metadata__"] = json::object{{"format", "mlx"}};
    }
    uint64_t total = 0;
    for (const ConvertedTensor& tensor : plan_.tensors) {
      total += tensor.bytes.sum();
      describe(tensor, heads[tensor.file], weight_map);
    }
    for (size_t i = 0; i < count; ++i) finish_head(plan_.files[i], heads[i]);
    for (ConvertedTensor& tensor : plan_.tensors)
      for (uint64_t& place : tensor.at) place += plan_.files[tensor.file].head.size();
    json::object index;
    index["metadata"] = json::object{{"total_size", total}, {"total_parameters", plan_.elements()}};
    index["weight_map"] = std::move(weight_map);
    plan_.texts.emplace_back(kIndex, json::serialize(index) + "\n");
  }

  static uint64_t elements_of(const ConvertedTensor& tensor) {
    return static_cast<uint64_t>(
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>()));
  }

  static EncodedBytes copied_bytes(const ConvertedTensor& tensor) {
    EncodedBytes bytes;
    for (const TensorView& part : tensor.parts) {
      bytes.values += part.bytes.size();
      bytes.scales += part.mlx.scales.size();
      bytes.biases += part.mlx.biases.size();
    }
    return bytes;
  }

  // Adds a tensor, or the two or three of a quantised weight, to a file's head and to the index.
  void describe(const ConvertedTensor& tensor, json::object& head, json::object& weight_map) const {
    const auto put = [&](const std::string& name, std::string_view dtype,
                         const std::vector<int64_t>& shape, uint64_t at, uint64_t bytes) {
      json::array sizes(shape.begin(), shape.end());
      head[name] = json::object{{"dtype", dtype},
                                {"shape", std::move(sizes)},
                                {"data_offsets", json::array{at, at + bytes}}};
      weight_map[name] = plan_.files[tensor.file].name;
    };
    const auto& [values, scales, biases] = tensor.at;
    if (tensor.encoding.group == 0) {
      const std::string_view dtype =
          tensor.copied ? std::string_view(tensor.to) : type_name(tensor.encoding.type);
      put(tensor.name, dtype, tensor.shape, values, tensor.bytes.values);
      return;
    }
    const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
    std::vector<int64_t> words = tensor.shape, groups = tensor.shape;
    words.back() = words.back() * tensor_format(tensor.encoding.type).code_bits / 32;
    groups.back() /= tensor.encoding.group;
    const bool is_mxfp4 = tensor.encoding.type == kMXFP4;
    put(tensor.name, "U32", words, values, tensor.bytes.values);
    put(module + ".scales", is_mxfp4 ? "U8" : type_name(tensor.encoding.scale_type), groups, scales,
        tensor.bytes.scales);
    if (!is_mxfp4)
      put(module + ".biases", type_name(tensor.encoding.scale_type), groups, biases,
          tensor.bytes.biases);
  }

  static void finish_head(ConvertedFile& file, const json::object& head) {
    std::string text = json::serialize(head);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t length = text.size();
    file.head.resize(sizeof length);
    std::memcpy(file.head.data(), &length, sizeof length);
    file.head += text;
    file.bytes += file.head.size();
  }

  static json::object settings_of(TensorType type, int group) {
    return {{"group_size", group},
            {"bits", tensor_format(type).code_bits},
            {"mode", type == kMXFP4 ? "mxfp4" : "affine"}};
  }

  std::string config_text() {
    json::object quantisation = settings_of(format_.type, group_);
    for (const ConvertedTensor& tensor : plan_.tensors) {
      const auto& [type, own_group, scale_type] = tensor.encoding;
      if (own_group == 0 || (type == format_.type && own_group == group_)) continue;
      const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
      quantisation[module] = settings_of(type, own_group);
      // mlx-lm calls the text model of one that also sees so.
      constexpr std::string_view kInner = "model.language_model.";
      if (module.starts_with(kInner))
        quantisation["language_model.model." + module.substr(kInner.size())] =
            settings_of(type, own_group);
    }
    config_json_["quantization"] = quantisation;
    config_json_["quantization_config"] = std::move(quantisation);
    return json::serialize(config_json_) + "\n";
  }

  void add_files() {
    plan_.texts.emplace_back("config.json", config_text());
    constexpr std::string_view kEnds[] = {".json", ".jinja", ".model", ".txt", ".md", ".tiktoken"};
    std::vector<std::string> names = names_in(folder_);
    std::ranges::sort(names);
    for (const std::string& name : names) {
      const bool is_made =
          name == "config.json" || name.ends_with(".index.json") || name == "pippin-manifest.json";
      const bool is_meant =
          name.starts_with("LICENSE") ||
          std::ranges::any_of(kEnds, [&](std::string_view end) { return name.ends_with(end); });
      if (!is_made && is_meant) plan_.copies.emplace_back(name, folder_ + "/" + name);
    }
    if (requantised_) plan_.notes.emplace_back(kLosesMore);
  }

  std::string folder_;
  const MlxFormat& format_;
  const int group_;
  const uint64_t shard_bytes_;
  bool tied_ = false, has_down_ = false, requantised_ = false;
  HfConfig config_;
  json::object config_json_;
  std::shared_ptr<std::vector<SafetensorsFile>> files_;
  std::map<std::string, const SafetensorsEntry*, std::less<>> entries_;
  std::map<std::string, std::map<int, TensorView>, std::less<>> experts_;  // by MLX's name
  Conversion plan_;
};

}  // namespace

std::span<const MlxFormat> mlx_formats() { return kFormats; }

Result<Conversion> plan_mlx_folder(const std::string& folder, const MlxFormat& format, int group,
                                   uint64_t shard_bytes) {
  return Planner(folder, format, group, shard_bytes).run();
}

}  // namespace pippin::store
