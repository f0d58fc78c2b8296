#include "api/openai/read_chat.h"

#include <fmt/format.h>

#include <utility>

#include "api/openai/read_chat_parts.h"
#include "api/openai/read_format.h"

namespace pippin::api::openai {
namespace {

using service::Conversation;

constexpr int kTopLogprobsMax = 20;

constexpr RefusedField kRefused[] = {
    {"functions", "use 'tools'"},
    {"function_call", "use 'tools' and 'tool_choice'"},
    {"audio", "audio output is not supported"},
    {"web_search_options", "there is no web search here"},
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

// What is checked and then has no effect here; docs/openai.md says why for each.
void read_without_effect(FieldReader& reader) {
  read_labels(reader);
  reader.boolean("store");
  const boost::json::object* prediction = reader.object("prediction");
  if (prediction == nullptr) return;
  FieldReader fields(*prediction, "prediction", reader);
  if (const auto type = fields.string("type"); type && *type != "content")
    fields.wrong("type", fmt::format("Invalid value: '{}'. Expected 'content'.", *type));
}

}  // namespace

ChatRequest read_chat(FieldReader& reader, const service::Model& model) {
  ChatRequest chat;
  Conversation conversation;
  read_messages(reader, conversation);
  chat.options.custom_tools = read_tools(reader, chat.request, conversation);
  const auto verbosity = reader.word("verbosity", {"low", "medium", "high"});
  read_thinking(reader, model, verbosity.value_or(""), chat, conversation);
  chat.request.prompts.emplace_back(std::move(conversation));
  read_sampling(reader, model, chat.request);
  read_limits(reader, model, 1, chat.request);
  read_logprobs(reader, chat.request.sampling);
  read_response_format(reader, chat.request);
  read_modalities(reader);
  chat.options.service_tier = read_tier(reader, chat.request);
  read_without_effect(reader);
  refuse(reader, kRefused);
  refuse(reader, common_refused_fields());
  chat.options.stream = read_stream(reader);
  chat.options.timings = reader.boolean("timings_per_token").value_or(false);
  return chat;
}

}  // namespace pippin::api::openai
