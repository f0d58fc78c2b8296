#include "models/families/layer_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace pippin::models {
namespace {

constexpr std::string_view kRecurrent[] = {"linear_attention", "mamba", "conv"};
constexpr std::string_view kAttention[] = {"full_attention", "attention"};

}  // namespace

Result<std::vector<bool>> read_recurrent_layers(const store::HfFields& fields,
                                                const store::ModelConfig& config) {
  constexpr const char* kKey = "layer_types";
  ASSIGN_OR_RETURN(const std::vector<std::string> types,
                   fields.texts(kKey, static_cast<size_t>(config.layers)));
  std::vector<bool> layers;
  for (const std::string& type : types) {
    const bool recurrent = std::ranges::find(kRecurrent, type) != std::end(kRecurrent);
    if (!recurrent && std::ranges::find(kAttention, type) == std::end(kAttention))
      return fields.unsupported(kKey, fmt::format("layers of type {} are not supported", type));
    layers.push_back(recurrent);
  }
  return layers;
}

Result<std::vector<bool>> read_rotated_layers(const store::HfFields& fields,
                                              const store::ModelConfig& config) {
  constexpr const char* kKey = "no_rope_layers";
  const auto count = static_cast<size_t>(config.layers);
  std::vector<bool> layers;
  if (fields.length(kKey).value_or(0) > 0) {
    ASSIGN_OR_RETURN(const std::vector<double> rotated, fields.numbers(kKey, count));
    for (const double one : rotated) layers.push_back(one != 0);
    return layers;
  }
  ASSIGN_OR_RETURN(const int period,
                   fields.size("no_rope_layer_interval", 1, config.layers + 1, 4));
  for (size_t i = 0; i < count; ++i) layers.push_back((i + 1) % static_cast<size_t>(period) != 0);
  return layers;
}

Result<void> read_query_scale(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(const std::optional<store::HfFields> rope, fields.object("rope_parameters"));
  if (!rope) return {};
  ASSIGN_OR_RETURN(const double beta, rope->number("llama_4_scaling_beta", 0, 1e3, 0));
  config.query_scale_beta = static_cast<float>(beta);
  config.query_scale_positions = config.rope.original_context;
  return {};
}

Result<void> read_mamba2(const store::HfFields& fields, store::ModelConfig& config,
                         const Mamba2Fields& names) {
  constexpr int kMost = 1 << 16;
  store::RecurrentConfig& recurrent = config.recurrent;
  const auto size = [&](std::string_view key, int otherwise) {
    return fields.size(key, 1, kMost, otherwise > 0 ? std::optional(otherwise) : std::nullopt);
  };
  ASSIGN_OR_RETURN(recurrent.conv_taps, fields.size(names.taps, 2, 8, 4));
  ASSIGN_OR_RETURN(recurrent.state, size(names.state, 0));
  ASSIGN_OR_RETURN(recurrent.groups, size(names.groups, 1));
  ASSIGN_OR_RETURN(recurrent.time_step_rank, size(names.heads, 0));
  ASSIGN_OR_RETURN(const int expand, size(names.expand, 2));
  recurrent.inner = expand * config.embedding_length;
  if (!names.inner.empty()) {
    ASSIGN_OR_RETURN(recurrent.inner, size(names.inner, recurrent.inner));
  }
  // "auto" means what follows from the rest.
  const bool automatic = fields.text(names.head_dim).ok();
  if (!automatic && fields.has(names.head_dim)) {
    ASSIGN_OR_RETURN(const int dim, size(names.head_dim, 0));
    recurrent.inner = dim * recurrent.time_step_rank;
  }
  if (fields.has(names.limit)) {
    ASSIGN_OR_RETURN(const std::vector<double> limits, fields.numbers(names.limit, 2));
    recurrent.time_step_min = static_cast<float>(limits[0]);
    recurrent.time_step_max = static_cast<float>(limits[1]);
  }
  return {};
}

void leave_out_attention(store::ModelConfig& config) {
  std::ranges::fill(config.heads, 0);
  std::ranges::fill(config.kv_heads, 0);
  config.head_dim_k = config.head_dim_v = config.rope.dims = 0;
}

}  // namespace pippin::models
