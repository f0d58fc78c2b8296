#include "api/openai/chat_writer.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "api/openai/custom_input.h"
#include "api/openai/envelope.h"
#include "api/openai/errors.h"
#include "api/shared/logprobs.h"
#include "api/shared/timings.h"

namespace pippin::api::openai {
namespace {

using service::JsonWriter;
using service::ReasoningDelta;
using service::ScoredToken;
using service::TextDelta;
using service::ToolCallDelta;

// `tokens` is null where none were asked for, or none are there.
void write_scores(JsonWriter& json, const std::vector<ScoredToken>* tokens) {
  json.key("logprobs");
  if (tokens == nullptr) return void(json.null());
  write_logprobs(json.begin_object().key("content"), *tokens);
  json.key("refusal").null().end_object();
}

// What stands behind the usage.
std::string tail_of(const ChatOptions& options, const ResponseTimes& times,
                    const service::Usage& usage) {
  if (!options.timings) return {};
  std::string text;
  JsonWriter json(text);
  write_timings(json, times, usage);
  return "," + text;
}

void write_reason(JsonWriter& json, const service::Finish& finish) {
  if (finish.called_tools && finish.reason == service::FinishReason::kStop) {
    json.field("finish_reason", "tool_calls");
  } else {
    write_finish_reason(json, finish.reason);
  }
}

bool is_custom(const ChatOptions& options, const std::string& tool) {
  return std::ranges::find(options.custom_tools, tool) != options.custom_tools.end();
}

// Writes the fields of a call; a later piece of a stream has no id.
void write_call(JsonWriter& json, const ToolCallDelta& call, bool custom, std::string_view text) {
  const char* type = custom ? "custom" : "function";
  if (!call.id.empty()) json.field("id", call.id).field("type", type);
  json.key(type).begin_object();
  if (!call.id.empty()) json.field("name", call.name);
  json.field(custom ? "input" : "arguments", text).end_object();
}

class ChatStreamWriter final : public ResponseWriter {
 public:
  ChatStreamWriter(const service::Generation& generation, const ChatOptions& options)
      : envelope_("chatcmpl-", "chat.completion.chunk", generation.model(),
                  options.stream.include_usage, options.service_tier),
        options_(options),
        generation_(generation),
        inputs_(static_cast<size_t>(generation.choices())),
        times_(RequestTimes::begin()) {}

  bool streams() const override { return true; }
  std::string id() const override { return envelope_.id(); }

  // Clients' clocks for a silent stream hear chunks only, not comments: so a chunk that says
  // nothing. Of several choices one may have ended, behind which no chunk may speak of it.
  Response stream_head() const override {
    Response head = ResponseWriter::stream_head();
    if (generation_.choices() == 1) {
      chunk(head.heartbeat, 0, nullptr, nullptr,
            [](JsonWriter& json) { json.field("content", ""); });
    } else {
      envelope_.open_chunk(head.heartbeat);
      envelope_.close_chunk(head.heartbeat);
    }
    return head;
  }

  void begin(std::string& out) override {
    for (int i = 0; i < generation_.choices(); ++i) {
      chunk(out, i, nullptr, nullptr,
            [](JsonWriter& json) { json.field("role", "assistant").field("content", ""); });
    }
  }

  void add(service::Delta&& delta, std::string& out) override {
    times_.note();
    const int choice = delta.choice;
    if (const auto* text = std::get_if<TextDelta>(&delta.body)) {
      chunk(out, choice, &text->tokens, nullptr,
            [&](JsonWriter& json) { json.field("content", text->text); });
    } else if (const auto* reasoning = std::get_if<ReasoningDelta>(&delta.body)) {
      if (!options_.show_reasoning) return;
      chunk(out, choice, nullptr, nullptr,
            [&](JsonWriter& json) { json.field("reasoning_content", reasoning->text); });
    } else if (const auto* call = std::get_if<ToolCallDelta>(&delta.body)) {
      add_call(choice, *call, out);
    } else if (const auto* finish = std::get_if<service::Finish>(&delta.body)) {
      end_input(choice, out);  // of a call that was cut off
      chunk(out, choice, nullptr, finish, [](JsonWriter&) {});
    }
  }

  void finish(const service::Usage& usage, std::string& out) override {
    envelope_.end_stream(usage, out);
  }

  void abort(const Error& error, std::string& out) override {
    out += "data: " + error_json(api_error(error)) + "\n\n";
  }

  Response failure(const Error& error) override { return error_response(error); }

 private:
  /// The call of a custom tool that is being written.
  struct OpenInput {
    int index = 0;
    CustomInput text;
  };

  void add_call(int choice, const ToolCallDelta& call, std::string& out) {
    std::optional<OpenInput>& input = inputs_[static_cast<size_t>(choice)];
    if (!call.id.empty() && is_custom(options_, call.name)) input.emplace(call.index);
    const std::string text = input ? input->text.push(call.arguments) : call.arguments;
    if (!call.id.empty() || !text.empty()) send_call(choice, call, input.has_value(), text, out);
    if (call.complete) end_input(choice, out);
  }

  void end_input(int choice, std::string& out) {
    std::optional<OpenInput>& input = inputs_[static_cast<size_t>(choice)];
    if (!input) return;
    ToolCallDelta rest;
    rest.index = input->index;
    if (const std::string text = input->text.finish(); !text.empty())
      send_call(choice, rest, true, text, out);
    input.reset();
  }

  // The first piece of a call has its id and name.
  void send_call(int choice, const ToolCallDelta& call, bool custom, std::string_view text,
                 std::string& out) const {
    chunk(out, choice, nullptr, nullptr, [&](JsonWriter& json) {
      json.key("tool_calls").begin_array().begin_object().field("index", call.index);
      write_call(json, call, custom, text);
      json.end_object().end_array();
    });
  }

  template <typename WriteDelta>
  void chunk(std::string& out, int choice, const std::vector<ScoredToken>* tokens,
             const service::Finish* finish, WriteDelta write_delta) const {
    envelope_.open_chunk(out);
    JsonWriter json(out);
    json.begin_object().field("index", choice).key("delta").begin_object();
    write_delta(json);
    json.end_object();
    write_scores(json, tokens == nullptr || tokens->empty() ? nullptr : tokens);
    if (finish != nullptr) {
      write_reason(json, *finish);
    } else {
      json.key("finish_reason").null();
    }
    json.end_object();
    const service::Usage usage = generation_.usage();
    envelope_.close_chunk(out, options_.stream.usage_so_far ? &usage : nullptr,
                          tail_of(options_, times_, usage));
  }

  const Envelope envelope_;
  const ChatOptions options_;
  const service::Generation& generation_;         // outlives its writer
  std::vector<std::optional<OpenInput>> inputs_;  // by choice
  ResponseTimes times_;
};

class ChatObjectWriter final : public ResponseWriter {
 public:
  ChatObjectWriter(const service::Generation& generation, const ChatOptions& options)
      : envelope_("chatcmpl-", "chat.completion", generation.model(), false, options.service_tier),
        options_(options),
        times_(RequestTimes::begin()),
        logprobs_(generation.request().sampling.logprobs >= 0),
        choices_(static_cast<size_t>(generation.choices())) {}

  bool streams() const override { return false; }
  std::string id() const override { return envelope_.id(); }
  void begin(std::string&) override {}

  void add(service::Delta&& delta, std::string&) override {
    times_.note();
    Choice& choice = choices_[static_cast<size_t>(delta.choice)];
    if (auto* text = std::get_if<TextDelta>(&delta.body)) {
      choice.text += text->text;
      std::move(text->tokens.begin(), text->tokens.end(), std::back_inserter(choice.tokens));
    } else if (const auto* reasoning = std::get_if<ReasoningDelta>(&delta.body)) {
      choice.reasoning += reasoning->text;
    } else if (auto* call = std::get_if<ToolCallDelta>(&delta.body)) {
      if (!call->id.empty()) {
        choice.calls.push_back(std::move(*call));
      } else {
        choice.calls.back().arguments += call->arguments;
      }
    } else if (auto* finish = std::get_if<service::Finish>(&delta.body)) {
      choice.finish = std::move(*finish);
    }
  }

  void finish(const service::Usage& usage, std::string& out) override {
    envelope_.open_object(out);
    JsonWriter json(out);
    for (size_t i = 0; i < choices_.size(); ++i) write_choice(json, static_cast<int>(i));
    envelope_.close_object(usage, out, tail_of(options_, times_, usage));
  }

  void abort(const Error&, std::string&) override {}
  Response failure(const Error& error) override { return error_response(error); }

 private:
  struct Choice {
    std::string text, reasoning;
    std::vector<ToolCallDelta> calls;
    std::vector<ScoredToken> tokens;
    service::Finish finish;
  };

  void write_choice(JsonWriter& json, int index) const {
    const Choice& choice = choices_[static_cast<size_t>(index)];
    json.begin_object().field("index", index);
    json.key("message").begin_object().field("role", "assistant").key("content");
    if (choice.text.empty() && !choice.calls.empty()) {
      json.null();
    } else {
      json.string(choice.text);
    }
    if (options_.show_reasoning && !choice.reasoning.empty())
      json.field("reasoning_content", choice.reasoning);
    if (!choice.calls.empty()) write_calls(json, choice.calls);
    json.key("refusal").null().end_object();
    write_scores(json, logprobs_ ? &choice.tokens : nullptr);
    write_reason(json, choice.finish);
    json.end_object();
  }

  void write_calls(JsonWriter& json, const std::vector<ToolCallDelta>& calls) const {
    json.key("tool_calls").begin_array();
    for (const ToolCallDelta& call : calls) {
      const bool custom = is_custom(options_, call.name);
      CustomInput input;
      std::string text = custom ? input.push(call.arguments) : call.arguments;
      if (custom) text += input.finish();
      json.begin_object();
      write_call(json, call, custom, text);
      json.end_object();
    }
    json.end_array();
  }

  const Envelope envelope_;
  const ChatOptions options_;
  ResponseTimes times_;
  const bool logprobs_;
  std::vector<Choice> choices_;
};

}  // namespace

std::unique_ptr<ResponseWriter> chat_writer(const service::Generation& generation,
                                            const ChatOptions& options) {
  if (options.stream.stream) return std::make_unique<ChatStreamWriter>(generation, options);
  return std::make_unique<ChatObjectWriter>(generation, options);
}

}  // namespace pippin::api::openai
