#include "api/llama/writer.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "api/llama/samplers.h"
#include "api/openai/errors.h"
#include "api/shared/logprobs.h"
#include "api/shared/timings.h"

namespace pippin::api::llama {
namespace {

using service::JsonWriter;
using service::ScoredToken;

// Returns what the client wants of an answer: of "a/b" the member b of the member a, as "b".
std::string picked(const std::string& answer, const std::vector<std::string>& wanted) {
  const Result<boost::json::value> parsed = service::parse_json(answer);
  if (!parsed.ok()) return answer;
  boost::json::object out;
  for (const std::string& path : wanted) {
    const boost::json::value* at = &*parsed;
    size_t begin = 0;
    for (size_t slash; at != nullptr && begin <= path.size(); begin = slash + 1) {
      slash = std::min(path.find('/', begin), path.size());
      const boost::json::object* object = at->if_object();
      at = object == nullptr ? nullptr : object->if_contains(path.substr(begin, slash - begin));
    }
    if (at != nullptr) out[path.substr(path.rfind('/') + 1)] = *at;
  }
  std::string text;
  JsonWriter(text).value(out);
  return text;
}

class Writer final : public ResponseWriter {
 public:
  Writer(const service::Generation& generation, CompletionOptions options)
      : generation_(generation),
        options_(std::move(options)),
        times_(options_.times),
        answers_(static_cast<size_t>(generation.choices())) {}

  bool streams() const override { return options_.stream; }
  void begin(std::string&) override {}

  void add(service::Delta&& delta, std::string& out) override {
    times_.note();
    Answer& answer = answers_[static_cast<size_t>(delta.choice)];
    if (auto* text = std::get_if<service::TextDelta>(&delta.body)) {
      answer.predicted += static_cast<int>(text->tokens.size());
      answer.has_new_line = answer.has_new_line || text->text.find('\n') != std::string::npos;
      answer.text += text->text;
      std::move(text->tokens.begin(), text->tokens.end(), std::back_inserter(answer.tokens));
      if (options_.stream) send_piece(delta.choice, answer, out);
    } else if (auto* finish = std::get_if<service::Finish>(&delta.body)) {
      answer.finish = std::move(*finish);
      if (options_.stream) send(whole(delta.choice, answer), out);
    }
  }

  void finish(const service::Usage&, std::string& out) override {
    if (options_.stream) return;
    const bool several = answers_.size() > 1;
    if (several) out += '[';
    for (size_t i = 0; i < answers_.size(); ++i) {
      if (i > 0) out += ',';
      out += whole(static_cast<int>(i), answers_[i]);
    }
    if (several) out += ']';
  }

  void abort(const Error& error, std::string& out) override {
    send(openai::error_json(openai::api_error(error)), out);
  }
  Response failure(const Error& error) override { return openai::error_response(error); }

 private:
  struct Answer {
    std::string text;  // not sent yet
    std::vector<ScoredToken> tokens;
    service::Finish finish;
    int predicted = 0;  // tokens that were told of
    bool has_new_line = false;
  };

  static void send(const std::string& json, std::string& out) { out += "data: " + json + "\n\n"; }

  size_t prompt_of(int choice) const {
    return static_cast<size_t>(choice / generation_.request().n);
  }
  // Of one answer the generation knows exactly, of several only what was told.
  int predicted(const Answer& answer) const {
    return answers_.size() == 1 ? generation_.usage().completion_tokens : answer.predicted;
  }

  void write_beginning(JsonWriter& json, int choice, const Answer& answer) const {
    json.field("index", choice).field("content", answer.text).key("tokens").begin_array();
    if (options_.return_tokens || options_.stream) {
      for (const ScoredToken& token : answer.tokens) json.integer(int64_t{token.chosen.token});
    }
    json.end_array().field("id_slot", 0);
  }

  void send_piece(int choice, Answer& answer, std::string& out) const {
    std::string piece;
    JsonWriter json(piece);
    json.begin_object();
    write_beginning(json, choice, answer);
    json.field("stop", false).field("tokens_predicted", predicted(answer));
    json.field("tokens_evaluated",
               static_cast<int64_t>(generation_.prompt_tokens(prompt_of(choice)).size()));
    if (options_.timings_per_token) write_timings(json, times_, generation_.usage());
    if (options_.probabilities > 0)
      write_logprobs(json.key("completion_probabilities"), answer.tokens, true);
    json.end_object();
    send(piece, out);
    answer.text.clear();
    answer.tokens.clear();
  }

  const char* stop_type(const Answer& answer) const {
    if (answer.finish.reason == service::FinishReason::kLength) return "limit";
    return answer.finish.stop.empty() ? "eos" : "word";
  }

  std::string whole(int choice, const Answer& answer) const {
    const service::Usage usage = generation_.usage();
    const service::Model& model = generation_.model();
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    write_beginning(json, choice, answer);
    json.field("stop", true).field("model", model.id);
    json.field("tokens_predicted", predicted(answer));
    json.field("tokens_evaluated",
               static_cast<int64_t>(generation_.prompt_tokens(prompt_of(choice)).size()));
    json.key("generation_settings").begin_object();
    write_settings(json, generation_.request(), options_.samplers);
    json.field("n_ctx", model.context_tokens_max).field("stream", options_.stream);
    json.field("n_probs", options_.probabilities);
    json.field("timings_per_token", options_.timings_per_token).end_object();
    json.field("prompt", generation_.prompt_text(prompt_of(choice)));
    json.field("has_new_line", answer.has_new_line).field("truncated", false);
    json.field("stop_type", stop_type(answer)).field("stopping_word", answer.finish.stop);
    json.field("tokens_cached", usage.cached_tokens);
    write_timings(json, times_, usage);
    if (!options_.stream && options_.probabilities > 0)
      write_logprobs(json.key("completion_probabilities"), answer.tokens, true);
    json.end_object();
    return options_.response_fields.empty() ? out : picked(out, options_.response_fields);
  }

  const service::Generation& generation_;
  const CompletionOptions options_;
  ResponseTimes times_;
  std::vector<Answer> answers_;
};

}  // namespace

std::unique_ptr<ResponseWriter> completion_writer(const service::Generation& generation,
                                                  CompletionOptions options) {
  return std::make_unique<Writer>(generation, std::move(options));
}

}  // namespace pippin::api::llama
