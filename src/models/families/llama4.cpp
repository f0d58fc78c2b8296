// Llama 4 text: layers that see their chunk of positions alone, and layers without rope, whose
// queries grow with the position; experts whose inputs are weighed by sigmoids.
#include <algorithm>

#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "models/families/layer_types.h"
#include "store/config_limits.h"

namespace pippin::models {
namespace {

constexpr int kChunk = 8192;  // which GGUF files leave unsaid, with the rest of complete()
constexpr int kPeriod = 4;
constexpr float kQueryScale = 0.1f;
constexpr int kExpertsOfMaverick = 128;
constexpr int kDenseFeedForward = 16384;

constexpr store::ModuleName kNames[] = {
    {"feed_forward.router", "ffn_gate_inp"},
    {"feed_forward.gate_proj", "ffn_gate"},
    {"feed_forward.up_proj", "ffn_up"},
    {"feed_forward.down_proj", "ffn_down"},
    {"feed_forward.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"feed_forward.shared_expert.up_proj", "ffn_up_shexp"},
    {"feed_forward.shared_expert.down_proj", "ffn_down_shexp"},
};
constexpr std::string_view kTransposed[] = {"feed_forward.experts.gate_up_proj",
                                            "feed_forward.experts.down_proj"};

Result<void> read_chunks(const store::HfFields& fields, store::ModelConfig& config) {
  constexpr const char* kKey = "layer_types";
  config.windowed_layers = config.rope.layers;
  if (fields.has(kKey)) {
    ASSIGN_OR_RETURN(const std::vector<std::string> types,
                     fields.texts(kKey, static_cast<size_t>(config.layers)));
    for (size_t i = 0; i < types.size(); ++i) {
      config.windowed_layers[i] = types[i] == "chunked_attention";
      if (!config.windowed_layers[i] && types[i] != "full_attention")
        return fields.unsupported(kKey, "only full_attention and chunked_attention are supported");
    }
  }
  if (std::ranges::find(config.windowed_layers, true) == config.windowed_layers.end()) return {};
  ASSIGN_OR_RETURN(config.chunk,
                   fields.size("attention_chunk_size", 1, store::kContextMax, kChunk));
  return {};
}

Result<void> read_temperature(const store::HfFields& fields, store::ModelConfig& config) {
  // Meta's first files have a number in place of the flag.
  constexpr const char* kTuned = "attn_temperature_tuning";
  const Result<int> number = fields.size(kTuned, 0, store::kContextMax, 1);
  bool tuned = number.ok() && *number != 0;
  if (!number.ok()) {
    ASSIGN_OR_RETURN(tuned, fields.flag(kTuned, true));
  }
  ASSIGN_OR_RETURN(const double beta, fields.number("attn_scale", 0, 1e3, kQueryScale));
  ASSIGN_OR_RETURN(const int positions, fields.size("floor_scale", 1, store::kContextMax, kChunk));
  if (!tuned) return {};
  config.query_scale_beta = static_cast<float>(beta);
  config.query_scale_positions = positions;
  config.query_scale_offset = 1;
  return {};
}

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(config.rope.layers, read_rotated_layers(fields, config));
  RETURN_IF_ERROR(read_chunks(fields, config));
  ASSIGN_OR_RETURN(config.plain_qk_norm, fields.flag("use_qk_norm", true));
  RETURN_IF_ERROR(read_temperature(fields, config));
  RETURN_IF_ERROR(read_experts(fields, {.inner = {}}, config));
  config.experts.feed_forward = config.experts.shared_feed_forward = config.feed_forward.front();
  ASSIGN_OR_RETURN(const int dense, fields.size("intermediate_size_mlp", 1, store::kFeedForwardMax,
                                                kDenseFeedForward));
  std::ranges::fill(config.feed_forward, dense);
  return {};
}

void complete(store::ModelConfig& config) {
  config.experts.shared_feed_forward = config.experts.feed_forward;
  // A file that says that it has no windows has rope in every layer, too.
  if (!config.windowed_layers.empty() &&
      std::ranges::find(config.windowed_layers, true) == config.windowed_layers.end())
    return;
  config.sliding_window = 0;
  config.chunk = kChunk;
  config.plain_qk_norm = config.experts.count != kExpertsOfMaverick;
  config.query_scale_beta = kQueryScale;
  config.query_scale_positions = kChunk;
  config.query_scale_offset = 1;
  for (int i = 1; i <= config.layers; ++i) config.rope.layers.push_back(i % kPeriod != 0);
}

constexpr store::HfFamily kHf[] = {{.model_type = "llama4_text",
                                    .architecture = "llama4",
                                    .part_of = "llama4",
                                    .vocab = 202048,
                                    .width = 5120,
                                    .feed_forward = 8192,
                                    .layers = 48,
                                    .heads = 40,
                                    .kv_heads = 8,
                                    .head_dim = 128,
                                    .context = 131072,
                                    .eps = 1e-5,
                                    .rope_base = 500000,
                                    .names = kNames,
                                    .transposed = kTransposed,
                                    .read = read}};

}  // namespace

extern const Family kLlama4;
constexpr Family kLlama4 = {
    "llama4",
    "Llama 4 Scout and Maverick, text",
    {.rope_pairs = true,
     .norm_after_rope = true,
     .scale_unrotated = true,
     .experts = MoeOptions{.scores = nn::RouterScores::kSigmoid, .weigh_inputs = true},
     .window_period = kPeriod},
    kHf,
    complete};

}  // namespace pippin::models
