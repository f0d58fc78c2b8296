#include "api/openai/read_chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/openai/read_chat_parts.h"
#include "api/openai/read_format.h"

namespace pippin::api::openai {
namespace {

using service::Conversation;

constexpr int kTopLogprobsMax = 20;
constexpr size_t kMetadataMax = 16;
constexpr size_t kMetadataKeyMax = 64;
constexpr size_t kMetadataValueMax = 512;

constexpr RefusedField kRefused[] = {
    {"functions", "use 'tools'"},
    {"function_call", "use 'tools' and 'tool_choice'"},
    {"audio", "audio output is not supported"},
    {"web_search_options", "there is no web search here"},
    {"prompt_logprobs", "log probabilities of the prompt are given by /v1/completions with 'echo'"},
};

void read_modalities(FieldReader& reader) {
  const boost::json::array* modalities = reader.array("modalities");
  if (modalities == nullptr) return;
  for (const boost::json::value& value : *modalities) {
    if (value.is_string() && value.get_string() == "text") continue;
    reader.wrong("modalities", "Unsupported value: only 'text' is supported in 'modalities'.",
                 "unsupported_value");
  }
}

void read_logprobs(FieldReader& reader, engine::SamplingParams& sampling) {
  const bool wanted = reader.boolean("logprobs").value_or(false);
  const std::optional<int64_t> top = reader.integer("top_logprobs", 0, kTopLogprobsMax);
  if (top.value_or(0) > 0 && !wanted) {
    reader.wrong("top_logprobs",
                 "Invalid 'top_logprobs': it is only allowed when 'logprobs' is true.");
  }
  if (wanted) sampling.logprobs = static_cast<int>(top.value_or(0));
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

void read_tier(FieldReader& reader, ChatCall& call) {
  const std::optional<std::string_view> name = reader.string("service_tier");
  if (!name) return;
  const Tier* tier = std::ranges::find(kTiers, *name, &Tier::name);
  if (tier == std::end(kTiers)) {
    return reader.wrong("service_tier",
                        fmt::format("Invalid value: '{}'. Supported values are: 'auto', 'default', "
                                    "'flex', 'priority' and 'scale'.",
                                    *name));
  }
  call.options.service_tier = tier->answered;
  if (reader.any("priority") == nullptr) call.request.priority = tier->priority;
}

void read_metadata(FieldReader& reader) {
  const boost::json::object* metadata = reader.object("metadata");
  if (metadata == nullptr) return;
  if (metadata->size() > kMetadataMax) {
    return reader.wrong(
        "metadata",
        fmt::format("Invalid 'metadata': too many properties. Expected at most {}.", kMetadataMax));
  }
  FieldReader entries(*metadata, "metadata", reader);
  for (const auto& [key, unused] : *metadata) {
    const std::optional<std::string_view> value = entries.string(key);
    if (key.size() > kMetadataKeyMax || (value && value->size() > kMetadataValueMax)) {
      return entries.wrong(key, "Invalid 'metadata': string too long.", "string_above_max_length");
    }
  }
}

// What is checked and then has no effect here; docs/openai.md says why for each.
void read_without_effect(FieldReader& reader) {
  for (const char* name :
       {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"})
    reader.string(name);
  reader.boolean("store");
  read_metadata(reader);
  const boost::json::object* prediction = reader.object("prediction");
  if (prediction == nullptr) return;
  FieldReader fields(*prediction, "prediction", reader);
  if (fields.string("type").value_or("content") != "content")
    fields.wrong("type", "Invalid value. Supported values are: 'content'.");
}

void read_verbosity(FieldReader& reader) {
  const std::optional<std::string_view> verbosity = reader.string("verbosity");
  if (!verbosity || *verbosity == "medium") return;
  reader.wrong("verbosity", "Unsupported value: only 'medium' is supported in 'verbosity'.",
               "unsupported_value");
}

}  // namespace

ChatCall read_chat(FieldReader& reader, const service::Model& model) {
  ChatCall call;
  Conversation conversation;
  read_messages(reader, conversation);
  read_tools(reader, call.request, conversation);
  read_thinking(reader, model, call, conversation);
  call.request.prompts.emplace_back(std::move(conversation));
  read_sampling(reader, model, call.request);
  read_limits(reader, model, 1, call.request);
  read_logprobs(reader, call.request.sampling);
  read_response_format(reader, call.request.format);
  read_modalities(reader);
  read_tier(reader, call);
  read_without_effect(reader);
  read_verbosity(reader);
  refuse(reader, kRefused);
  refuse(reader, common_refused_fields());
  call.options.stream = read_stream(reader);
  return call;
}

}  // namespace pippin::api::openai
