#include "api/openai/read_common.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "api/openai/read_format.h"

namespace pippin::api::openai {
namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr int kChoicesMax = 16;
constexpr size_t kStopsMax = 16;
constexpr size_t kSaltBytesMax = 512;
constexpr size_t kLabelBytesMax = 1024;
constexpr size_t kMetadataMax = 16, kMetadataKeyMax = 64, kMetadataValueMax = 512;

constexpr RefusedField kCommonRefused[] = {
    {"use_beam_search", "beam search is not supported"},
    {"bad_words", "use 'logit_bias' or 'banned_tokens'"},
    {"logits_processors", "processors cannot be sent"},
    {"truncate_prompt_tokens", "a prompt is never cut"},
    {"prompt_logprobs",
     "log probabilities of a prompt are given by /v1/completions with 'echo' and 'logprobs'"},
    {"chat_template", "the template is the model's own"},
    {"documents", "documents are not shown to the model; put them into a message"},
    {"include_stop_str_in_output", "a stop string is not part of the text"},
};

bool asks_for_nothing(const boost::json::value& value) {
  if (const bool* flag = value.if_bool()) return !*flag;
  if (const auto* array = value.if_array()) return array->empty();
  if (const auto* object = value.if_object()) return object->empty();
  if (const auto* text = value.if_string()) return text->empty();
  return value.is_null();
}

/// What a tier means for the order of requests.
struct Tier {
  std::string_view name, answered;
  engine::Priority priority;
};
constexpr Tier kTiers[] = {
    {"auto", "default", engine::Priority::kNormal},
    {"default", "default", engine::Priority::kNormal},
    {"scale", "default", engine::Priority::kNormal},
    {"flex", "flex", engine::Priority::kLow},
    {"priority", "priority", engine::Priority::kHigh},
};

using NamedRole = std::pair<std::string_view, service::Role>;
constexpr NamedRole kRoles[] = {
    {"system", service::Role::kSystem}, {"developer", service::Role::kDeveloper},
    {"user", service::Role::kUser},     {"assistant", service::Role::kAssistant},
    {"tool", service::Role::kTool},     {"function", service::Role::kTool},
};

void read_metadata(FieldReader& reader) {
  const boost::json::object* metadata = reader.object("metadata");
  if (metadata == nullptr) return;
  if (metadata->size() > kMetadataMax) {
    return reader.wrong(
        "metadata",
        fmt::format("Invalid 'metadata': at most {} pairs were expected.", kMetadataMax),
        "object_above_max_properties");
  }
  FieldReader pairs(*metadata, "metadata", reader);
  for (const auto& [key, value] : *metadata) {
    const std::optional<std::string_view> text = pairs.string(key);
    if (value.is_null()) pairs.wrong_type(key, "a string", value);
    if (key.size() > kMetadataKeyMax || (text && text->size() > kMetadataValueMax)) {
      pairs.wrong(key,
                  fmt::format("Invalid 'metadata': keys of at most {} and values of at most {} "
                              "bytes were expected.",
                              kMetadataKeyMax, kMetadataValueMax),
                  "string_above_max_length");
    }
  }
}

}  // namespace

void read_limits(FieldReader& reader, const service::Model& model, int limit_min,
                 service::Request& request) {
  constexpr int64_t kSeedMin = std::numeric_limits<int64_t>::min(),
                    kSeedMax = std::numeric_limits<int64_t>::max();
  if (const auto n = reader.integer("n", 1, kChoicesMax)) request.n = static_cast<int>(*n);
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {  // the newer name wins
    if (const auto limit = reader.integer(name, limit_min, kIntMax))
      request.max_tokens = static_cast<int>(*limit);
  }
  if (const auto least = reader.integer("min_tokens", 0, kIntMax))
    request.min_tokens = static_cast<int>(*least);
  if (const auto seed = reader.integer("seed", kSeedMin, kSeedMax))
    request.seed = static_cast<uint64_t>(*seed);
  request.ignore_eos = reader.boolean("ignore_eos").value_or(false);
  read_guides(reader, request);
  read_stop(reader, "stop", kStopsMax, request.stop);
  if (const boost::json::array* tokens = reader.array("stop_token_ids")) {
    read_tokens(reader, "stop_token_ids", *tokens, model, request.stop_tokens);
  }
  if (const auto salt = reader.string("cache_salt")) {
    if (salt->size() > kSaltBytesMax)
      reader.wrong("cache_salt", "Invalid 'cache_salt': string too long.",
                   "string_above_max_length");
    request.cache_salt = *salt;
  }
  // vLLM's numbers: a lower one is served earlier.
  if (const auto priority = reader.integer("priority", -kIntMax, kIntMax)) {
    request.priority = *priority < 0   ? engine::Priority::kHigh
                       : *priority > 0 ? engine::Priority::kLow
                                       : engine::Priority::kNormal;
  }
}

std::optional<TimePoint> read_deadline(FieldReader& reader) {
  constexpr double kTimeoutMin = 0.001, kTimeoutMax = 30.0 * 24 * 3600;  // seconds
  const auto timeout = reader.number("timeout", kTimeoutMin, kTimeoutMax);
  if (!timeout) return std::nullopt;
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*timeout));
}

StreamOptions read_stream(FieldReader& reader) {
  StreamOptions options;
  options.stream = reader.boolean("stream").value_or(false);
  const boost::json::object* object = reader.object("stream_options");
  if (object == nullptr) return options;
  if (!options.stream) {
    reader.wrong("stream_options",
                 "The 'stream_options' parameter is only allowed when 'stream' is enabled.");
  }
  FieldReader fields(*object, "stream_options", reader);
  options.include_usage = fields.boolean("include_usage").value_or(false);
  fields.boolean("include_obfuscation");  // nothing is added to chunks either way
  options.usage_so_far = fields.boolean("continuous_usage_stats").value_or(false);
  return options;
}

std::string_view read_tier(FieldReader& reader, service::Request& request) {
  const std::optional<std::string_view> name =
      reader.word("service_tier", {"auto", "default", "flex", "priority", "scale"});
  if (!name) return {};
  const Tier& tier = *std::ranges::find(kTiers, *name, &Tier::name);
  if (reader.any("priority") == nullptr) request.priority = tier.priority;
  return tier.answered;
}

std::optional<service::Role> read_role(FieldReader& message,
                                       std::initializer_list<std::string_view> allowed) {
  if (message.any("role") == nullptr) message.missing("role");
  const std::optional<std::string_view> name = message.word("role", allowed);
  if (!name) return std::nullopt;
  return std::ranges::find(kRoles, *name, &NamedRole::first)->second;
}

void hide_tools(const service::ToolChoice& choice, std::vector<service::Tool>& tools) {
  using Mode = service::ToolChoice::Mode;
  if (choice.mode == Mode::kNone) tools.clear();
  if (choice.mode != Mode::kAuto || choice.names.empty()) return;
  std::erase_if(tools, [&](const service::Tool& tool) {
    return std::ranges::find(choice.names, tool.name) == choice.names.end();
  });
}

void read_labels(FieldReader& reader) {
  for (const char* name :
       {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}) {
    if (reader.string(name).value_or("").size() > kLabelBytesMax)
      reader.wrong(name, fmt::format("Invalid '{}': string too long.", name),
                   "string_above_max_length");
  }
  read_metadata(reader);
}

std::span<const RefusedField> common_refused_fields() { return kCommonRefused; }

void refuse(FieldReader& reader, std::span<const RefusedField> fields) {
  for (const RefusedField& field : fields) {
    const boost::json::value* value = reader.any(field.name);
    if (value == nullptr || asks_for_nothing(*value)) continue;
    reader.wrong(field.name, fmt::format("Unsupported parameter: '{}': {}.", field.name, field.why),
                 "unsupported_parameter");
  }
}

}  // namespace pippin::api::openai
