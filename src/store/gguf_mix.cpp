#include "store/gguf_mix.h"

#include <algorithm>

#include "store/tensor_name.h"

namespace pippin::store {

using enum TensorType;

bool GgufMix::is_weight(std::string_view name, const std::vector<int64_t>& shape) {
  constexpr std::string_view kKept[] = {"_norm",          "ffn_gate_inp",         "ssm_conv1d",
                                        "shortconv.conv", "attn_rel_b",           "altup",
                                        "laurel",         "position_embd",        "token_types",
                                        "time_mix_",      "per_layer_model_proj", "attn_sinks"};
  return shape.size() >= 2 && name.ends_with(".weight") &&
         std::ranges::none_of(kKept, [&](std::string_view part) {
           return name.find(part) != std::string_view::npos;
         });
}

// Layers at both ends, and every third between them.
bool GgufMix::takes_more_bits(int layer) const {
  const int eighth = layers_ / 8;
  return layer < eighth || layer >= 7 * layers_ / 8 || (layer - eighth) % 3 == 2;
}

TensorType GgufMix::wanted(std::string_view name) const {
  const TensorName place = split_name(name);
  const bool is_output = name == "output.weight" || (is_tied_ && name == "token_embd.weight");
  if (format_.type == kF16) return kF16;
  if (is_output && format_.type != kQ8_0) return kQ6_K;
  if (!format_.is_mix) return format_.type;
  const bool is_sensitive = place.part == "attn_v.weight" || place.part.starts_with("ffn_down");
  if (is_sensitive && takes_more_bits(place.layer)) return kQ6_K;
  if (place.part == "attn_qkv.weight") return format_.type == kQ4_K ? kQ5_K : kQ6_K;
  return format_.type;
}

TensorType GgufMix::type_of(std::string_view name, int64_t columns) const {
  const TensorType type = wanted(name);
  const auto fits = [&](TensorType one) { return columns % block_elements(one) == 0; };
  if (fits(type)) return type;
  const TensorType smaller = type == kQ4_K ? kQ5_0 : kQ8_0;
  return fits(smaller) ? smaller : kF16;
}

}  // namespace pippin::store
