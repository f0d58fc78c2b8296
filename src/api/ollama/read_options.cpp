#include "api/ollama/read_options.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "api/shared/sampling.h"
#include "api/shared/thinking.h"
#include "base/duration_text.h"

namespace pippin::api::ollama {
namespace {

using engine::SamplingParams;

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr size_t kStopsMax = 16;

// A penalty of 0 would divide by 0.
constexpr NumberField kNumbers[] = {
    {"temperature", 0, 100, &SamplingParams::temperature},
    {"top_p", 0, 1, &SamplingParams::top_p},
    {"min_p", 0, 1, &SamplingParams::min_p},
    {"typical_p", 0, 1, &SamplingParams::typical_p},
    {"repeat_penalty", 0.01, 100, &SamplingParams::repetition_penalty},
    {"presence_penalty", -100, 100, &SamplingParams::presence_penalty},
    {"frequency_penalty", -100, 100, &SamplingParams::frequency_penalty},
    {"mirostat_tau", 0, 100, &SamplingParams::mirostat_tau},
    {"mirostat_eta", 0, 1, &SamplingParams::mirostat_eta},
};

/// An option that has no effect, and why.
struct IgnoredOption {
  std::string_view name, why;
};
constexpr std::string_view kAtStart = "it is decided when the server is started";
constexpr std::string_view kNoSampler = "there is no such sampler";
constexpr IgnoredOption kIgnored[] = {
    {"num_ctx", "the context is the whole one that the server has, and a prompt is never cut"},
    {"num_keep", "a prompt is never cut"},
    {"num_batch", kAtStart},
    {"num_gpu", kAtStart},
    {"main_gpu", kAtStart},
    {"num_thread", kAtStart},
    {"numa", kAtStart},
    {"low_vram", kAtStart},
    {"f16_kv", kAtStart},
    {"logits_all", kAtStart},
    {"vocab_only", kAtStart},
    {"embedding_only", kAtStart},
    {"use_mmap", kAtStart},
    {"use_mlock", kAtStart},
    {"tfs_z", kNoSampler},
    {"penalize_newline", kNoSampler},
};

// Where the file says nothing, the penalty that Ollama's users know.
void apply_defaults(const service::ModelInfo& model, SamplingParams& sampling) {
  if (model.penalty_in_file) return;
  sampling.repetition_penalty = 1.1F;
  sampling.penalty_last_n = 64;
}

KeepAlive keep_for(double nanoseconds) {
  constexpr double kMax = 9e18;  // what nanoseconds hold
  if (nanoseconds < 0 || nanoseconds > kMax) return {.forever = true};
  return {.time = std::chrono::nanoseconds(static_cast<int64_t>(nanoseconds))};
}

}  // namespace

void read_options(FieldReader& options, const service::ModelInfo& model,
                  service::Request& request) {
  SamplingParams& sampling = request.sampling;
  sampling = model.default_sampling;
  apply_defaults(model, sampling);
  read_numbers(options, kNumbers, sampling);
  read_top_k(options, sampling);
  if (const auto last = options.integer("repeat_last_n", -1, kIntMax))
    sampling.penalty_last_n = static_cast<int>(*last);
  read_mirostat(options, sampling);
  // -1 is without end, -2 until the context is full: the same here, as in Ollama is 0.
  if (const auto limit = options.integer("num_predict", -2, kIntMax)) {
    if (*limit > 0) request.max_tokens = static_cast<int>(*limit);
  }
  const auto seed = options.integer("seed", std::numeric_limits<int64_t>::min(),
                                    std::numeric_limits<int64_t>::max());
  if (seed && *seed >= 0) request.seed = static_cast<uint64_t>(*seed);
  read_stop(options, "stop", kStopsMax, request.stop);
}

std::vector<Warning> options_without_effect(const FieldReader& options) {
  std::vector<Warning> warnings;
  for (const IgnoredOption& option : kIgnored) {
    if (options.any(option.name) == nullptr) continue;
    const std::string path = options.path_of(option.name);
    warnings.push_back(
        {"no_effect", path, fmt::format("'{}' has no effect: {}.", path, option.why)});
  }
  return warnings;
}

std::optional<KeepAlive> read_keep_alive(FieldReader& reader) {
  const boost::json::value* value = reader.any("keep_alive");
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) return keep_for(value->to_number<double>() * 1e9);
  const boost::json::string* given = value->if_string();
  if (given == nullptr) {
    reader.wrong_type("keep_alive", "a number or a duration", *value);
    return std::nullopt;
  }
  const std::optional<double> nanoseconds = parse_duration(*given);
  if (!nanoseconds) {
    reader.wrong("keep_alive", fmt::format("Invalid 'keep_alive': a duration as \"5m\" was "
                                           "expected, but got '{}'.",
                                           std::string_view(*given)));
    return std::nullopt;
  }
  return keep_for(*nanoseconds);
}

bool read_think(FieldReader& reader, const service::Model& model, std::string_view name,
                service::Request& request, std::string& template_kwargs_json) {
  Thinking thinking;
  const boost::json::value* value = reader.any("think");
  if (value != nullptr && value->is_bool()) {
    thinking.enabled = value->get_bool();
  } else if (value != nullptr && value->is_string()) {
    const std::string_view level(value->get_string());
    thinking.effort = find_effort(level);
    if (thinking.effort == nullptr) {
      reader.wrong("think", fmt::format("invalid think value: '{}' (must be \"high\", \"medium\", "
                                        "\"low\", true, or false)",
                                        level));
    }
  } else if (value != nullptr) {
    reader.wrong_type("think", "a boolean or a level", *value);
  }
  const bool off =
      thinking.enabled == false || (thinking.effort != nullptr && thinking.effort->level.empty());
  if (value != nullptr && !off && model.reasoning_dialect == nullptr)
    reader.wrong("think", fmt::format("\"{}\" does not support thinking", name));
  service::JsonWriter json(template_kwargs_json);
  json.begin_object();
  apply_thinking(thinking, model, nullptr, json, request);
  json.end_object();
  return !off;
}

}  // namespace pippin::api::ollama
