#include "api/openai/completion_writer.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "api/openai/envelope.h"
#include "api/openai/errors.h"

namespace pippin::api::openai {
namespace {

using service::JsonWriter;
using service::ScoredToken;

// Returns the number of characters, as Python counts them.
int64_t characters(std::string_view text) {
  return std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

// Appends the old form of logprobs: parallel lists. `offset` is the text's length so far and moves
// on.
void write_logprobs(JsonWriter& json, const std::vector<ScoredToken>& tokens, int64_t& offset) {
  const auto list = [&](const char* name, auto write) {
    json.key(name).begin_array();
    for (const ScoredToken& token : tokens) write(token);
    json.end_array();
  };
  json.key("logprobs").begin_object();
  list("tokens", [&](const ScoredToken& token) { json.string(token.chosen.bytes); });
  list("token_logprobs", [&](const ScoredToken& token) {
    if (token.scored) {
      json.number(token.chosen.logprob);
    } else {
      json.null();
    }
  });
  list("top_logprobs", [&](const ScoredToken& token) {
    if (!token.scored) return void(json.null());
    json.begin_object();
    for (const service::TokenLogprob& other : token.top)
      json.key_text(other.bytes).number(other.logprob);
    json.end_object();
  });
  list("text_offset", [&](const ScoredToken& token) {
    json.integer(offset);
    offset += characters(token.chosen.bytes);
  });
  json.end_object();
}

// The prompt of each choice as text, for echo.
class Echoes {
 public:
  Echoes(const service::Generation& generation, bool echo) : n_(generation.request().n) {
    if (!echo) return;
    for (size_t i = 0; i < generation.request().prompts.size(); ++i)
      texts_.push_back(generation.prompt_text(i));
  }
  bool wanted() const { return !texts_.empty(); }
  const std::string& of(int choice) const { return texts_[static_cast<size_t>(choice / n_)]; }

 private:
  int n_;
  std::vector<std::string> texts_;
};

class CompletionStreamWriter final : public ResponseWriter {
 public:
  CompletionStreamWriter(const service::Generation& generation, const CompletionOptions& options)
      : envelope_("cmpl-", "text_completion", generation.model(), options.stream.include_usage),
        echoes_(generation, options.echo),
        prompt_scored_(generation.request().sampling.prompt_logprobs >= 0),
        offsets_(static_cast<size_t>(generation.choices()), 0) {}

  bool streams() const override { return true; }
  std::string id() const override { return envelope_.id(); }

  void begin(std::string& out) override {
    if (!echoes_.wanted() || prompt_scored_) return;  // a scored prompt comes with its PromptDelta
    for (size_t i = 0; i < offsets_.size(); ++i) {
      const std::string& text = echoes_.of(static_cast<int>(i));
      chunk(out, static_cast<int>(i), text, nullptr, std::nullopt);
      offsets_[i] += characters(text);
    }
  }

  void add(service::Delta&& delta, std::string& out) override {
    if (const auto* text = std::get_if<service::TextDelta>(&delta.body)) {
      chunk(out, delta.choice, text->text, &text->tokens, std::nullopt);
    } else if (const auto* prompt = std::get_if<service::PromptDelta>(&delta.body)) {
      chunk(out, delta.choice, echoes_.of(delta.choice), &prompt->tokens, std::nullopt);
    } else if (const auto* finish = std::get_if<service::Finish>(&delta.body)) {
      chunk(out, delta.choice, "", nullptr, finish->reason);
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
  void chunk(std::string& out, int choice, std::string_view text,
             const std::vector<ScoredToken>* tokens, std::optional<service::FinishReason> reason) {
    envelope_.open_chunk(out);
    JsonWriter json(out);
    json.begin_object().field("text", text).field("index", choice);
    if (tokens == nullptr || tokens->empty()) {
      json.key("logprobs").null();
    } else {
      write_logprobs(json, *tokens, offsets_[static_cast<size_t>(choice)]);
    }
    write_finish_reason(json, reason);
    json.end_object();
    envelope_.close_chunk(out);
  }

  const Envelope envelope_;
  const Echoes echoes_;
  const bool prompt_scored_;
  std::vector<int64_t> offsets_;  // characters sent, per choice
};

class CompletionObjectWriter final : public ResponseWriter {
 public:
  CompletionObjectWriter(const service::Generation& generation, const CompletionOptions& options)
      : envelope_("cmpl-", "text_completion", generation.model(), false),
        echoes_(generation, options.echo),
        logprobs_(options.logprobs),
        returned_(static_cast<size_t>(options.n)),
        made_(static_cast<size_t>(generation.request().n)),
        choices_(static_cast<size_t>(generation.choices())) {}

  bool streams() const override { return false; }
  std::string id() const override { return envelope_.id(); }
  void begin(std::string&) override {}

  void add(service::Delta&& delta, std::string&) override {
    Choice& choice = choices_[static_cast<size_t>(delta.choice)];
    if (auto* text = std::get_if<service::TextDelta>(&delta.body)) {
      choice.text += text->text;
      for (const ScoredToken& token : text->tokens) choice.score += token.chosen.logprob;
      choice.scored += text->tokens.size();
      choice.take(text->tokens);
    } else if (auto* prompt = std::get_if<service::PromptDelta>(&delta.body)) {
      choice.take(prompt->tokens);
    } else if (const auto* finish = std::get_if<service::Finish>(&delta.body)) {
      choice.reason = finish->reason;
    }
  }

  void finish(const service::Usage& usage, std::string& out) override {
    envelope_.open_object(out);
    JsonWriter json(out);
    int index = 0;
    for (size_t first = 0; first < choices_.size(); first += made_) {
      for (const size_t i : best_of(first)) write_choice(json, i, index++);
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
    double score = 0;  // sum over `scored` tokens of the answer
    size_t scored = 0;

    void take(std::vector<ScoredToken>& from) {
      std::move(from.begin(), from.end(), std::back_inserter(tokens));
    }
    double mean() const { return scored == 0 ? 0 : score / static_cast<double>(scored); }
  };

  // Returns the choices of one prompt to return, of those from `first` on: all, or the ones whose
  // tokens are most probable on average, the best first.
  std::vector<size_t> best_of(size_t first) const {
    std::vector<size_t> order(made_);
    std::iota(order.begin(), order.end(), first);
    if (returned_ == made_) return order;
    std::ranges::stable_sort(
        order, [this](size_t a, size_t b) { return choices_[a].mean() > choices_[b].mean(); });
    order.resize(returned_);
    return order;
  }

  void write_choice(JsonWriter& json, size_t i, int index) const {
    const Choice& choice = choices_[i];
    const std::string echo = echoes_.wanted() ? echoes_.of(static_cast<int>(i)) : std::string();
    json.begin_object().field("text", echo + choice.text).field("index", index);
    int64_t offset = 0;
    if (logprobs_) {
      write_logprobs(json, choice.tokens, offset);
    } else {
      json.key("logprobs").null();
    }
    write_finish_reason(json, choice.reason);
    json.end_object();
  }

  const Envelope envelope_;
  const Echoes echoes_;
  const bool logprobs_;
  const size_t returned_, made_;  // answers for each prompt
  std::vector<Choice> choices_;
};

}  // namespace

std::unique_ptr<ResponseWriter> completion_writer(const service::Generation& generation,
                                                  const CompletionOptions& options) {
  if (options.stream.stream) return std::make_unique<CompletionStreamWriter>(generation, options);
  return std::make_unique<CompletionObjectWriter>(generation, options);
}

}  // namespace pippin::api::openai
