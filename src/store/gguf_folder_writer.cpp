#include "store/gguf_folder_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <memory>

#include "store/gguf_mix.h"
#include "store/quoted.h"
#include "store/tensor_name.h"
#include "store/unpack.h"

namespace pippin::store {
namespace {

using enum TensorType;

/// A tensor of F32 that owns its values.
TensorView made_tensor(std::string name, std::span<const float> values) {
  auto bytes = std::make_shared<std::vector<std::byte>>(values.size_bytes());
  std::memcpy(bytes->data(), values.data(), values.size_bytes());
  TensorView view;
  view.name = std::move(name);
  view.shape = {static_cast<int64_t>(values.size())};
  view.bytes = *bytes;
  view.made = std::move(bytes);
  return view;
}

class Planner {
 public:
  Planner(const HfFolder& folder, const GgufForm& form, const GgufFormat& format)
      : folder_(folder),
        config_(folder.config()),
        form_(form),
        mix_(format, config_.layers, config_.tied_output) {
    plan_.format = format.name;
  }

  Result<Conversion> run(const GgufMetadata& tokenizer, const GgufFormat& format) {
    GgufMetadata metadata;
    RETURN_IF_ERROR(add_general(metadata));
    RETURN_IF_ERROR(add_config(config_, form_, metadata));
    add_format(metadata, format);
    metadata.append(tokenizer);
    for (const TensorView& tensor : folder_.tensors()) RETURN_IF_ERROR(sort_in(tensor));
    for (auto& [name, experts] : experts_) RETURN_IF_ERROR(add_stack(name, experts));
    RETURN_IF_ERROR(check_layers());
    add_divisors();
    if (requantised_) plan_.notes.emplace_back(kLosesMore);
    if (config_.sliding_window > 0 && !form_.has_windows)
      plan_.notes.emplace_back(
          fmt::format("llama.cpp reads {} models without their window of {} tokens",
                      config_.architecture, config_.sliding_window));
    plan_.sources = folder_.source_files();
    plan_.files.emplace_back();
    lay_out_gguf(plan_, metadata);
    return std::move(plan_);
  }

 private:
  Error unsupported(std::string_view name, std::string_view what) const {
    return fail(Code::kUnsupported,
                fmt::format("[convert] {}: tensor {}: {}", folder_.path(), quoted(name), what),
                std::string(name));
  }

  Result<void> add_general(GgufMetadata& metadata) const {
    metadata.add("general.architecture", config_.architecture);
    metadata.add("general.type", "model");
    metadata.add("general.name", config_.name);
    if (const std::string license = folder_.license(); !license.empty())
      metadata.add("general.license", license);
    ASSIGN_OR_RETURN(const GenerationConfig sampling, folder_.generation_config());
    const std::pair<const char*, std::optional<double>> numbers[] = {
        {"temp", sampling.temperature},
        {"top_p", sampling.top_p},
        {"min_p", sampling.min_p},
        {"penalty_repeat", sampling.repetition_penalty}};
    for (const auto& [name, value] : numbers)
      if (value) metadata.add(fmt::format("general.sampling.{}", name), static_cast<float>(*value));
    if (sampling.top_k)
      metadata.add("general.sampling.top_k",
                   static_cast<int32_t>(std::clamp<int64_t>(*sampling.top_k, 0,
                                                            std::numeric_limits<int32_t>::max())));
    return {};
  }

  // What a reader of GGUF files takes for granted.
  Result<void> check_layers() const {
    const TensorView* embedding = folder_.tensor("token_embd.weight");
    if (embedding == nullptr || embedding->shape.size() != 2 ||
        embedding->shape[0] != config_.vocab_size)
      return fail(Code::kInvalidFile,
                  fmt::format("[convert] {}: tensor token_embd.weight: expected {} rows",
                              folder_.path(), config_.vocab_size),
                  "token_embd.weight");
    for (int i = 0; config_.experts.count > 0 && i < config_.layers; ++i) {
      const std::string router = fmt::format("blk.{}.ffn_gate_inp.weight", i);
      if (folder_.tensor(router) == nullptr)
        return unsupported(router, "it is missing; layers without experts are not converted");
    }
    return {};
  }

  Result<void> sort_in(const TensorView& tensor) {
    if (tensor.elements() == 0) return unsupported(tensor.name, "it is empty");
    if (tensor.transposed) return unsupported(tensor.name, "its rows and columns are exchanged");
    const ExpertName expert = expert_name(tensor.name);
    if (expert.number >= 0 && tensor.name.ends_with(".weight")) {
      experts_[fmt::format("{}_exps.weight", expert.stack)][expert.number] = &tensor;
      return {};
    }
    constexpr std::string_view kBoth = "ffn_gate_up_exps.weight";
    if (tensor.name.ends_with(kBoth)) return split_gate_up(tensor, kBoth);
    if (form_.norm_offset != 0 && tensor.name.ends_with("_norm.weight")) {
      std::vector<float> values = values_of(tensor);
      for (float& value : values) value += form_.norm_offset;
      add(tensor.name, tensor.shape, {made_tensor(tensor.name, values)});
      return {};
    }
    const int heads = form_.interleaved ? rotated_heads(tensor.name) : 0;
    if (heads > 0) return add_interleaved(tensor, heads);
    add(tensor.name, tensor.shape, {tensor});
    return {};
  }

  static std::vector<float> values_of(const TensorView& tensor) {
    const TensorView plain = unpack(tensor);
    std::vector<float> values(static_cast<size_t>(plain.elements()));
    dequantize(plain, values);
    return values;
  }

  // 0: the tensor is no projection of queries or keys.
  int rotated_heads(std::string_view name) const {
    const int layer = split_name(name).layer;
    if (layer < 0 || layer >= config_.layers) return 0;
    const std::string_view module = name.substr(0, name.rfind('.'));
    const auto i = static_cast<size_t>(layer);
    if (module.ends_with(".attn_q")) return config_.heads[i];
    return module.ends_with(".attn_k") ? config_.kv_heads[i] : 0;
  }

  // Row 2i of a head is row i of its first half, row 2i + 1 row i of its second.
  Result<void> add_interleaved(const TensorView& tensor, int heads) {
    const int64_t rows = tensor.shape.front(), dim = rows / heads;
    if (config_.rope.dims != dim || rows != heads * dim || tensor.shape.size() > 2)
      return unsupported(tensor.name, fmt::format("heads of {} dims of which {} are rotated", dim,
                                                  config_.rope.dims));
    std::vector<uint32_t> order(static_cast<size_t>(rows));
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t head = i / dim, within = i % dim;
      order[static_cast<size_t>(i)] =
          static_cast<uint32_t>(head * dim + within / 2 + within % 2 * (dim / 2));
    }
    if (tensor.shape.size() == 1) {  // a bias
      const std::vector<float> values = values_of(tensor);
      std::vector<float> ordered;
      for (const uint32_t row : order) ordered.push_back(values[row]);
      add(tensor.name, tensor.shape, {made_tensor(tensor.name, ordered)});
      return {};
    }
    add(tensor.name, tensor.shape, {tensor}, std::move(order));
    return {};
  }

  // [E, 2F, K]: the first F rows of each expert are the gate's.
  Result<void> split_gate_up(const TensorView& tensor, std::string_view ending) {
    if (tensor.packed != nullptr || tensor.shape.size() != 3 || tensor.shape[1] % 2 != 0)
      return unsupported(tensor.name, "gate and up of its experts cannot be told apart");
    const int64_t count = tensor.shape[0], inner = tensor.shape[1] / 2;
    const std::string layer = tensor.name.substr(0, tensor.name.size() - ending.size());
    const char* const names[] = {"ffn_gate_exps.weight", "ffn_up_exps.weight"};
    for (int64_t half = 0; half < 2; ++half) {
      std::vector<TensorView> parts;
      for (int64_t i = 0; i < count; ++i) {
        TensorView expert = tensor.slice(i, 1);
        expert.shape.erase(expert.shape.begin());
        parts.push_back(expert.slice(half * inner, inner));
      }
      add(layer + names[half], {count, inner, tensor.shape[2]}, std::move(parts));
    }
    return {};
  }

  Result<void> add_stack(const std::string& name, const std::map<int, const TensorView*>& experts) {
    std::vector<TensorView> parts;
    for (const auto& [number, tensor] : experts) {
      if (number != static_cast<int>(parts.size()))
        return unsupported(name, fmt::format("expert {} is missing", parts.size()));
      if (!parts.empty() && tensor->shape != parts.front().shape)
        return unsupported(tensor->name, "experts differ in shape");
      parts.push_back(*tensor);
    }
    std::vector<int64_t> shape = parts.front().shape;
    shape.insert(shape.begin(), static_cast<int64_t>(parts.size()));
    add(name, std::move(shape), std::move(parts));
    return {};
  }

  // Frequencies that config.json gives, GGUF files have as tensors.
  void add_divisors() {
    const RopeConfig& rope = config_.rope;
    const std::pair<const char*, const std::vector<float>*> sets[] = {
        {"rope_freqs.weight", &rope.divisors},
        {"rope_factors_short.weight", &rope.short_divisors},
        {"rope_factors_long.weight", &rope.long_divisors}};
    for (const auto& [name, divisors] : sets) {
      if (divisors->empty()) continue;
      TensorView tensor = made_tensor(name, *divisors);
      std::vector<int64_t> shape = tensor.shape;
      add(name, std::move(shape), {std::move(tensor)});
    }
  }

  void add(const std::string& name, std::vector<int64_t> shape, std::vector<TensorView> parts,
           std::vector<uint32_t> order = {}) {
    const TensorView& first = parts.front();
    const auto is_kept = [](const TensorView& part, TensorType type) {
      return part.has_blocks() && part.type == type;
    };
    ConvertedTensor to;
    to.name = name;
    to.shape = std::move(shape);
    to.from = type_name(first.type);
    to.encoding.type =
        GgufMix::is_weight(name, to.shape) ? mix_.type_of(name, to.shape.back()) : kF32;
    to.to = type_name(to.encoding.type);
    to.copied = order.empty() && std::ranges::all_of(parts, [&](const TensorView& part) {
                  return is_kept(part, to.encoding.type);
                });
    requantised_ |= !first.has_blocks() && !to.copied;
    int64_t elements = 1;
    for (const int64_t size : to.shape) elements *= size;
    to.bytes = encoded_bytes(to.encoding, static_cast<uint64_t>(elements));
    to.parts = std::move(parts);
    to.order = std::move(order);
    plan_.tensors.push_back(std::move(to));
  }

  const HfFolder& folder_;
  const ModelConfig& config_;
  const GgufForm& form_;
  const GgufMix mix_;
  bool requantised_ = false;
  std::map<std::string, std::map<int, const TensorView*>, std::less<>> experts_;
  Conversion plan_;
};

}  // namespace

Result<Conversion> plan_gguf_of_folder(const HfFolder& folder, const GgufForm& form,
                                       const GgufMetadata& tokenizer, const GgufFormat& format) {
  return Planner(folder, form, format).run(tokenizer, format);
}

}  // namespace pippin::store
