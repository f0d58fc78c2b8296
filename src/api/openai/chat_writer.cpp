#include "api/openai/chat_writer.h"

#include <optional>
#include <utility>
#include <vector>

#include "api/openai/envelope.h"
#include "api/openai/errors.h"

namespace pippin::api::openai {
namespace {

using service::JsonWriter;
using service::ScoredToken;

void write_token(JsonWriter& json, const service::TokenLogprob& token) {
  json.field("token", token.bytes).key("logprob").number(token.logprob);
  json.key("bytes").begin_array();
  for (const char byte : token.bytes) json.integer(int64_t{static_cast<unsigned char>(byte)});
  json.end_array();
}

void write_logprobs(JsonWriter& json, const std::vector<ScoredToken>& tokens) {
  json.key("logprobs").begin_object().key("content").begin_array();
  for (const ScoredToken& token : tokens) {
    json.begin_object();
    write_token(json, token.chosen);
    json.key("top_logprobs").begin_array();
    for (const service::TokenLogprob& other : token.top) {
      json.begin_object();
      write_token(json, other);
      json.end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().key("refusal").null().end_object();
}

class ChatStreamWriter final : public AnswerWriter {
 public:
  ChatStreamWriter(const service::Generation& generation, bool include_usage)
      : envelope_("chatcmpl-", "chat.completion.chunk", generation.model(), include_usage),
        choices_(generation.choices()) {}

  bool streams() const override { return true; }

  void begin(std::string& out) override {
    for (int i = 0; i < choices_; ++i) {
      chunk(out, i, nullptr, std::nullopt,
            [](JsonWriter& json) { json.field("role", "assistant").field("content", ""); });
    }
  }

  void add(service::Delta&& delta, std::string& out) override {
    if (const auto* text = std::get_if<service::TextDelta>(&delta.body)) {
      chunk(out, delta.choice, &text->tokens, std::nullopt,
            [&](JsonWriter& json) { json.field("content", text->text); });
    } else if (const auto* finish = std::get_if<service::Finish>(&delta.body)) {
      chunk(out, delta.choice, nullptr, finish->reason, [](JsonWriter&) {});
    }
  }

  void finish(const service::Usage& usage, std::string& out) override {
    envelope_.end_stream(usage, out);
  }

  void abort(const Error& error, std::string& out) override {
    out += "data: " + error_json(wire_error(error)) + "\n\n";
  }

  Response failure(const Error& error) override { return error_response(error); }

 private:
  template <typename WriteDelta>
  void chunk(std::string& out, int choice, const std::vector<ScoredToken>* tokens,
             std::optional<service::FinishReason> reason, WriteDelta write_delta) const {
    envelope_.open_chunk(out);
    JsonWriter json(out);
    json.begin_object().field("index", choice).key("delta").begin_object();
    write_delta(json);
    json.end_object();
    if (tokens == nullptr || tokens->empty()) {
      json.key("logprobs").null();
    } else {
      write_logprobs(json, *tokens);
    }
    write_finish_reason(json, reason);
    json.end_object();
    envelope_.close_chunk(out);
  }

  const Envelope envelope_;
  const int choices_;
};

class ChatObjectWriter final : public AnswerWriter {
 public:
  ChatObjectWriter(const service::Generation& generation, bool logprobs)
      : envelope_("chatcmpl-", "chat.completion", generation.model(), false),
        logprobs_(logprobs),
        choices_(static_cast<size_t>(generation.choices())) {}

  bool streams() const override { return false; }
  void begin(std::string&) override {}

  void add(service::Delta&& delta, std::string&) override {
    Choice& choice = choices_[static_cast<size_t>(delta.choice)];
    if (auto* text = std::get_if<service::TextDelta>(&delta.body)) {
      choice.text += text->text;
      std::move(text->tokens.begin(), text->tokens.end(), std::back_inserter(choice.tokens));
    } else if (const auto* finish = std::get_if<service::Finish>(&delta.body)) {
      choice.reason = finish->reason;
    }
  }

  void finish(const service::Usage& usage, std::string& out) override {
    envelope_.open_object(out);
    JsonWriter json(out);
    for (size_t i = 0; i < choices_.size(); ++i) {
      json.begin_object().field("index", static_cast<int>(i));
      json.key("message")
          .begin_object()
          .field("role", "assistant")
          .field("content", choices_[i].text);
      json.key("refusal").null().end_object();
      if (logprobs_) {
        write_logprobs(json, choices_[i].tokens);
      } else {
        json.key("logprobs").null();
      }
      write_finish_reason(json, choices_[i].reason);
      json.end_object();
    }
    envelope_.close_object(usage, out);
  }

  void abort(const Error&, std::string&) override {}
  Response failure(const Error& error) override { return error_response(error); }

 private:
  struct Choice {
    std::string text;
    std::vector<ScoredToken> tokens;
    service::FinishReason reason = service::FinishReason::kStop;
  };

  const Envelope envelope_;
  const bool logprobs_;
  std::vector<Choice> choices_;
};

}  // namespace

std::unique_ptr<AnswerWriter> chat_writer(const service::Generation& generation,
                                          StreamOptions options) {
  if (options.stream) return std::make_unique<ChatStreamWriter>(generation, options.include_usage);
  return std::make_unique<ChatObjectWriter>(generation,
                                            generation.request().sampling.logprobs >= 0);
}

}  // namespace pippin::api::openai
