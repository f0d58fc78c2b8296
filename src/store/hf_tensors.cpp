#include "store/hf_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "store/hf_experts.h"
#include "store/hf_packed.h"
#include "store/quoted.h"

namespace pippin::store {
namespace {

constexpr ModuleName kTop[] = {
    {"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, {"lm_head", "output"}};
constexpr ModuleName kLayer[] = {
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.sinks", "attn_sinks"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.gate", "ffn_gate_inp"},
    {"mlp.gate.e_score_correction", "exp_probs_b"},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "ffn_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
};

std::string_view renamed(std::span<const ModuleName> names, std::string_view name) {
  const auto place = std::ranges::find(names, name, &ModuleName::theirs);
  return place == names.end() ? std::string_view() : place->gguf;
}

/// A name within a layer; empty: it is of none.
struct LayerPart {
  std::string_view layer, part;
};

LayerPart layer_part(std::string_view name, const HfFamily& family) {
  if (!name.starts_with(family.layer_prefix)) return {};
  name.remove_prefix(family.layer_prefix.size());
  const size_t end = name.find('.');
  const std::string_view layer = name.substr(0, end);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (end == std::string_view::npos || layer.empty() || layer.size() > 4 ||
      !std::ranges::all_of(layer, digit) || (layer.size() > 1 && layer[0] == '0'))
    return {};
  return {layer, name.substr(end + 1)};
}

std::optional<TensorType> float_type(std::string_view dtype) {
  if (dtype == "F32") return TensorType::kF32;
  if (dtype == "F16") return TensorType::kF16;
  if (dtype == "BF16") return TensorType::kBF16;
  return std::nullopt;
}

class TensorsReader {
 public:
  TensorsReader(HfConfig& config, const std::string& path) : config_(config), path_(path) {}

  Result<std::vector<TensorView>> run(const std::vector<SafetensorsFile>& files) {
    for (const SafetensorsFile& file : files)
      for (const SafetensorsEntry& entry : file.entries()) RETURN_IF_ERROR(sort_in(entry));
    RETURN_IF_ERROR(check_behind());
    const std::string head = head_name();
    const bool has_head = modules_.contains(head);
    const bool tied = config_.tied_output.value_or(!has_head);
    config_.model.tied_output = tied;
    if (tied) modules_.erase(head);  // a copy of the embedding, where it was saved
    if (!tied && !has_head) return missing(head + ".weight");
    for (const auto& [name, module] : modules_) RETURN_IF_ERROR(read(name, module));
    for (const auto& [name, entry] : parameters_) RETURN_IF_ERROR(add_float(name, *entry));
    RETURN_IF_ERROR(check_biases());
    return std::move(tensors_);
  }

 private:
  Error wrong(std::string_view name, std::string_view what, Code code = Code::kInvalidFile) const {
    return fail(code, fmt::format("[model] {}: tensor {}: {}", path_, quoted(name), what),
                std::string(name));
  }
  Error missing(std::string_view name) const {
    return fail(Code::kInvalidFile, fmt::format("[model] {}: tensor {} is missing", path_, name),
                std::string(name));
  }

  // Strips what a model that also sees puts before its text model's names. Empty: not of that.
  std::string text_name(std::string_view name) const {
    constexpr std::string_view kOuter = "language_model.", kInner = "model.language_model.";
    // The first Mambas call the model so.
    for (const std::string_view backbone : {"backbone.", "model.backbone."})
      if (name.starts_with(backbone)) return "model." + std::string(name.substr(backbone.size()));
    if (!config_.is_part) return std::string(name);
    if (name.starts_with(kOuter)) return std::string(name.substr(kOuter.size()));
    if (name.starts_with(kInner)) return "model." + std::string(name.substr(kInner.size()));
    // Qwen 2 VL's hold the text model as if it were alone.
    for (const std::string_view own :
         {"lm_head.", "model.embed_tokens.", "model.layers.", "model.norm."})
      if (name.starts_with(own)) return std::string(name);
    return {};
  }

  // What the family calls the projection to logits.
  std::string head_name() const {
    const std::span<const ModuleName> own = config_.family->top_names;
    const auto place = std::ranges::find(own, "output", &ModuleName::gguf);
    return std::string(place == own.end() ? "lm_head" : place->theirs);
  }

  bool is_ignored(std::string_view name) const {
    return std::ranges::any_of(config_.family->ignored, [&](std::string_view part) {
      return part.ends_with('.') ? name.starts_with(part) : name.ends_with(part);
    });
  }

  // Whether a tensor is of a layer behind the last one. Such layers predict further tokens
  // (GLM 4.5, DeepSeek 3); what they project a token and a state by tells them from the model's
  // own.
  bool is_behind(const std::string& name) {
    const auto [layer, part] = layer_part(name, *config_.family);
    if (layer.empty() || std::stoi(std::string(layer)) < config_.model.layers) return false;
    behind_.try_emplace(std::string(layer), name);
    if (part.starts_with("eh_proj.")) predicting_.emplace(layer);
    return true;
  }

  Result<void> check_behind() const {
    for (const auto& [layer, name] : behind_)
      if (!predicting_.contains(layer))
        return wrong(name, fmt::format("it is of layer {}, but config.json tells of {} layers",
                                       layer, config_.model.layers));
    return {};
  }

  Result<void> sort_in(const SafetensorsEntry& entry) {
    const std::string name = with_kind(text_name(entry.name));
    // Older llamas come with their rope's frequencies, which follow from the configuration.
    if (name.empty() || name.ends_with(".rotary_emb.inv_freq") || is_ignored(name)) return {};
    const bool is_other = config_.quantisation.other.has_value();
    if (is_other && is_activation_scale(name)) return {};
    if (is_behind(name)) return {};
    if (const HfFamily& family = *config_.family;
        !renamed(family.parameters, layer_part(name, family).part).empty()) {
      if (!parameters_.emplace(name, &entry).second) return wrong(entry.name, "it is in two files");
      return {};
    }
    const size_t dot = name.rfind('.');
    const std::string module = name.substr(0, dot == std::string::npos ? 0 : dot);
    if (gguf_tensor_name(module + ".weight", *config_.family).empty())
      return wrong(entry.name, fmt::format("it is no part of a {} model as this build knows it",
                                           config_.model.architecture));
    constexpr std::string_view kKinds[] = {"weight", "bias", "scales", "biases"};
    // Borrowed from the file: the module's map keeps it.
    const std::string_view kind = std::string_view(entry.name).substr(entry.name.rfind('.') + 1);
    const std::string_view meant = std::string_view(name).substr(dot + 1);
    const auto known = std::ranges::find(kKinds, meant);
    const bool others = is_other && meant == kind && is_packed_kind(kind);
    if (known == std::end(kKinds) && !others)
      return wrong(entry.name, "expected .weight, .bias, .scales or .biases");
    if (!modules_[module].emplace(others ? kind : *known, &entry).second)
      return wrong(entry.name, "it is in two files");
    return {};
  }

  Result<void> read(const std::string& name, const HfModule& module) {
    const auto find = [&](std::string_view kind) {
      const auto place = module.find(kind);
      return place == module.end() ? nullptr : place->second;
    };
    const std::optional<OtherSettings>& other = config_.quantisation.other;
    const SafetensorsEntry* weight = find("weight");
    if (other && is_packed(module)) {
      RETURN_IF_ERROR(add_packed(*other, name, module));
      return add_bias(name, find("bias"));
    }
    if (weight == nullptr && find("bias") != nullptr && name.ends_with("e_score_correction"))
      return add_bias(name, find("bias"));
    if (weight == nullptr) return missing(name + ".weight");
    const SafetensorsEntry *scales = find("scales"), *biases = find("biases");
    if (scales == nullptr && biases != nullptr) return missing(name + ".scales");
    if (scales != nullptr) {
      RETURN_IF_ERROR(add_quantised(name, *weight, *scales, biases));
    } else {
      RETURN_IF_ERROR(add_float(name + ".weight", *weight));
    }
    return add_bias(name, find("bias"));
  }

  /// `bias`: null where there is none.
  Result<void> add_bias(const std::string& name, const SafetensorsEntry* bias) {
    return bias == nullptr ? Result<void>() : add_float(name + ".bias", *bias);
  }

  Result<void> add_packed(const OtherSettings& settings, const std::string& name,
                          const HfModule& module) {
    if (is_transposed(name + ".weight"))
      return wrong(name + ".weight", "quantised weights of [K, N] are not supported",
                   Code::kUnsupported);
    ASSIGN_OR_RETURN(TensorView view, read_packed(settings, name, module, path_));
    view.name = gguf_tensor_name(name + ".weight", *config_.family);
    tensors_.push_back(std::move(view));
    return {};
  }

  TensorView view_of(const std::string& name, const SafetensorsEntry& entry) const {
    TensorView view;
    view.name = gguf_tensor_name(name, *config_.family);
    view.shape = entry.shape;
    if (view.shape.empty()) view.shape = {1};  // a single value
    view.bytes = entry.bytes;
    return view;
  }

  Result<void> add_float(const std::string& name, const SafetensorsEntry& entry) {
    const std::optional<TensorType> type = float_type(entry.dtype);
    if (!type)
      return wrong(entry.name,
                   entry.dtype == "U32"
                       ? "it is quantised, but its scales are missing"
                       : fmt::format("weights of {} are not supported where config.json does not "
                                     "say how they are quantised",
                                     entry.dtype),
                   entry.dtype == "U32" ? Code::kInvalidFile : Code::kUnsupported);
    TensorView view = view_of(name, entry);
    view.type = *type;
    if (is_transposed(name) && view.shape.size() == 2) transpose(view);
    if (is_transposed(name) && view.shape.size() == 3 && has_transposed_experts(name)) {
      view.transposed = true;
      std::swap(view.shape[1], view.shape[2]);
    }
    tensors_.push_back(std::move(view));
    return {};
  }

  bool is_transposed(std::string_view name) const {
    return std::ranges::any_of(config_.family->transposed, [&](std::string_view module) {
      return name.ends_with(fmt::format(".{}.weight", module));
    });
  }

  // Stacks of experts are [E, K, N] in the family's own files, but transformers 5 saves some of
  // them again as [E, N, K]. A square one is as its sibling is; the two cannot both be square.
  bool has_transposed_experts(std::string_view name) const {
    constexpr std::string_view kUp = "gate_up_proj", kDown = "down_proj";
    const std::string_view module = name.substr(0, name.rfind('.'));
    const bool is_up = module.ends_with(kUp);
    const std::string_view layer = module.substr(0, module.rfind('.') + 1);
    const std::string sibling = fmt::format("{}{}", layer, is_up ? kDown : kUp);
    return transposed_by_shape(std::string(module), is_up)
        .value_or(transposed_by_shape(sibling, !is_up).value_or(true));
  }

  // The model's width is K of gate_up_proj, and N of down_proj. Nothing: the shape does not tell.
  std::optional<bool> transposed_by_shape(const std::string& module, bool is_up) const {
    const auto place = modules_.find(module);
    if (place == modules_.end()) return std::nullopt;
    const auto weight = place->second.find("weight");
    if (weight == place->second.end()) return std::nullopt;
    const std::vector<int64_t>& shape = weight->second->shape;
    if (shape.size() != 3 || shape[1] == shape[2]) return std::nullopt;
    return shape[is_up ? 2 : 1] != config_.model.embedding_length;
  }

  // [K, N] to [N, K].
  static void transpose(TensorView& view) {
    const auto rows = static_cast<size_t>(view.shape[0]),
               columns = static_cast<size_t>(view.shape[1]);
    const auto size = static_cast<size_t>(block_bytes(view.type));
    auto turned = std::make_shared<std::vector<std::byte>>(view.bytes.size());
    for (size_t row = 0; row < rows; ++row)
      for (size_t column = 0; column < columns; ++column)
        std::copy_n(view.bytes.data() + (row * columns + column) * size, size,
                    turned->data() + (column * rows + row) * size);
    view.bytes = *turned;
    view.made = std::move(turned);
    std::swap(view.shape[0], view.shape[1]);
  }

  Result<MlxSettings> settings_of(const std::string& name, const SafetensorsEntry& weight) {
    const HfQuantisation& all = config_.quantisation;
    std::optional<MlxSettings> settings = all.mlx;
    const auto exception = all.exceptions.find(weight.name.substr(0, weight.name.rfind('.')));
    if (exception != all.exceptions.end()) settings = exception->second;
    if (!settings)
      return wrong(name + ".weight", "it is quantised, but config.json does not say how");
    return *settings;
  }

  // The shapes must agree with what config.json says; the values cannot tell a wrong width.
  // `biases`: null where there are none.
  Result<void> add_quantised(const std::string& name, const SafetensorsEntry& weight,
                             const SafetensorsEntry& scales, const SafetensorsEntry* biases) {
    if (weight.dtype == "U8" && biases == nullptr) return add_mxfp4(name, weight, scales);
    ASSIGN_OR_RETURN(const MlxSettings settings, settings_of(name, weight));
    if (weight.dtype != "U32")
      return wrong(weight.name, fmt::format("expected codes in U32, but found {}", weight.dtype));
    TensorView view = view_of(name + ".weight", weight);
    view.type = settings.type;
    view.mlx = {.group = settings.group, .scales = scales.bytes};
    if (!is_affine(settings.type)) {
      const std::string_view mode = mode_name(settings);
      if (biases != nullptr)
        return wrong(biases->name, fmt::format("weights in {} have no biases", mode));
      if (scales.dtype != "U8")
        return wrong(scales.name,
                     fmt::format("expected {}'s scales in U8, but found {}", mode, scales.dtype));
    } else {
      if (biases == nullptr) return missing(name + ".biases");
      const std::optional<TensorType> scale_type = float_type(scales.dtype);
      if (!scale_type || scales.dtype != biases->dtype)
        return wrong(scales.name, "expected scales and biases of one kind: F32, F16 or BF16");
      if (scales.shape != biases->shape)
        return wrong(scales.name, "expected scales and biases of one shape");
      view.mlx.scale_type = *scale_type;
      view.mlx.biases = biases->bytes;
    }
    const bool agree =
        weight.shape.size() >= 2 && scales.shape.size() == weight.shape.size() &&
        std::equal(weight.shape.begin(), weight.shape.end() - 1, scales.shape.begin()) &&
        !scales.bytes.empty() && scales.shape.back() <= weight.shape.back();
    // A group's codes fill whole words, so there are no more groups than words.
    const int bits = settings.bits;
    if (!agree || scales.shape.back() * settings.group * bits != weight.shape.back() * 32)
      return wrong(weight.name,
                   fmt::format("its shape [{}] and that of its scales [{}] do not make {} bits in "
                               "groups of {}, as config.json says",
                               fmt::join(weight.shape, ", "), fmt::join(scales.shape, ", "), bits,
                               settings.group));
    view.shape.back() = scales.shape.back() * settings.group;
    if (settings.packing) {
      // Rows of half a block of NVFP4 have no form of their own.
      if (view.shape.back() % block_elements(settings.type) != 0) view.type = TensorType::kQ8_0;
      if (view.shape.back() % block_elements(view.type) != 0)
        return wrong(weight.name,
                     fmt::format("rows of {} columns are not supported in {}; expected a multiple "
                                 "of {}",
                                 view.shape.back(), mode_name(settings), block_elements(view.type)),
                     Code::kUnsupported);
      view.packed = std::make_shared<const PackedForm>(
          PackedForm{.packing = *settings.packing, .bits = bits, .group = settings.group});
    }
    tensors_.push_back(std::move(view));
    return {};
  }

  // Blocks of 32 codes, [.., K / 32, 16] bytes, with an exponent each: MLX's mxfp4 in other words.
  Result<void> add_mxfp4(const std::string& name, const SafetensorsEntry& weight,
                         const SafetensorsEntry& scales) {
    const std::vector<int64_t>& shape = weight.shape;
    const bool agree = shape.size() == 4 && shape.back() == 16 && scales.dtype == "U8" &&
                       scales.shape.size() == 3 &&
                       std::equal(scales.shape.begin(), scales.shape.end(), shape.begin()) &&
                       !scales.bytes.empty();
    if (!agree || !config_.quantisation.mxfp4_blocks)
      return wrong(weight.name,
                   agree ? "it is quantised, but config.json does not say how"
                         : fmt::format("expected blocks [E, N, K / 32, 16] with scales [E, N, K / "
                                       "32], but found [{}] and [{}]",
                                       fmt::join(shape, ", "), fmt::join(scales.shape, ", ")));
    TensorView view = view_of(name + ".weight", weight);
    view.type = TensorType::kMXFP4;
    view.mlx = {.group = 32, .scales = scales.bytes};
    view.shape = {shape[0], shape[1], shape[2] * 32};
    tensors_.push_back(std::move(view));
    return {};
  }

  // Attention would run without biases that are not there.
  Result<void> check_biases() const {
    if (!config_.qkv_bias) return {};
    constexpr std::string_view kProjections[] = {".attn_q.weight", ".attn_k.weight",
                                                 ".attn_v.weight", ".attn_qkv.weight",
                                                 ".attn_qkv_heads.weight"};
    for (const auto& [name, module] : modules_) {
      const std::string known = gguf_tensor_name(name + ".weight", *config_.family);
      const bool projects = std::ranges::any_of(
          kProjections, [&](std::string_view end) { return known.ends_with(end); });
      if (projects && !module.contains("bias")) return missing(name + ".bias");
    }
    return {};
  }

  HfConfig& config_;
  const std::string& path_;
  std::map<std::string, HfModule, std::less<>> modules_;
  std::map<std::string, const SafetensorsEntry*, std::less<>> parameters_;
  std::map<std::string, std::string> behind_;  // layers behind the last one: a tensor of each
  std::set<std::string> predicting_;           // those of them that predict further tokens
  std::vector<TensorView> tensors_;
};

}  // namespace

std::string gguf_tensor_name(std::string_view name, const HfFamily& family) {
  const LayerPart own = layer_part(name, family);
  if (const auto known = renamed(family.parameters, own.part); !known.empty())
    return fmt::format("blk.{}.{}", own.layer, known);
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  const std::string_view kind = name.substr(dot);
  std::string_view module = name.substr(0, dot);
  if (!module.starts_with(family.layer_prefix)) {
    std::string_view top = renamed(family.top_names, module);
    if (top.empty()) top = renamed(kTop, module);
    return top.empty() ? std::string() : std::string(top) + std::string(kind);
  }
  const auto [layer, part] = layer_part(module, family);
  std::string_view known = renamed(family.names, part);
  if (known.empty()) known = renamed(kLayer, part);
  const std::string expert = known.empty() ? expert_module(part) : std::string();
  if (!expert.empty()) known = expert;
  return known.empty() ? std::string() : fmt::format("blk.{}.{}{}", layer, known, kind);
}

Result<std::vector<TensorView>> hf_tensors(const std::vector<SafetensorsFile>& files,
                                           HfConfig& config, const std::string& path) {
  return TensorsReader(config, path).run(files);
}

}  // namespace pippin::store
