#include "api/ollama/writer.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <iterator>
#include <utility>
#include <vector>

#include "api/ollama/errors.h"
#include "api/shared/logprobs.h"
#include "service/json.h"

namespace pippin::api::ollama {
namespace {

using service::JsonWriter;
using service::ScoredToken;

/// What a line says, or the whole answer.
struct Piece {
  std::string text, thinking;
  std::vector<service::ToolCallDelta> calls;  // whole ones
  std::vector<ScoredToken> tokens;
};

void write_calls(JsonWriter& json, const std::vector<service::ToolCallDelta>& calls) {
  json.key("tool_calls").begin_array();
  for (const service::ToolCallDelta& call : calls) {
    json.begin_object().field("id", call.id).key("function").begin_object();
    json.field("index", call.index).field("name", call.name);
    // As the model wrote them they may hold line breaks, which would end the line.
    const Result<boost::json::value> arguments = service::parse_json(call.arguments);
    json.key("arguments").value(arguments.ok() ? *arguments : boost::json::object());
    json.end_object().end_object();
  }
  json.end_array();
}

// Begins a line: who answers, when, and what.
void open_line(JsonWriter& json, const ResponseOptions& options, const Piece& piece) {
  json.begin_object().field("model", options.model).field("created_at", now_text());
  if (options.chat) json.key("message").begin_object().field("role", "assistant");
  json.field(options.chat ? "content" : "response", piece.text);
  if (!piece.thinking.empty()) json.field("thinking", piece.thinking);
  if (!piece.calls.empty()) write_calls(json, piece.calls);
  if (options.chat) json.end_object();
  if (!piece.tokens.empty()) write_logprobs(json.key("logprobs"), piece.tokens);
}

class Writer final : public ResponseWriter {
 public:
  Writer(const service::Generation& generation, ResponseOptions options, const RequestTimes& times)
      : generation_(generation), options_(std::move(options)), times_(times) {}

  bool streams() const override { return options_.stream; }
  Response stream_head() const override { return {200, kStreamType, {}, {}}; }
  void begin(std::string&) override {}

  void add(service::Delta&& delta, std::string& out) override {
    times_.note();
    if (auto* text = std::get_if<service::TextDelta>(&delta.body)) {
      if (options_.context) answer_ += text->text;
      piece_.text += text->text;
      std::move(text->tokens.begin(), text->tokens.end(), std::back_inserter(piece_.tokens));
    } else if (const auto* reasoning = std::get_if<service::ReasoningDelta>(&delta.body)) {
      if (options_.show_thinking) piece_.thinking += reasoning->text;
    } else if (auto* call = std::get_if<service::ToolCallDelta>(&delta.body)) {
      add_call(std::move(*call));
    } else if (const auto* finish = std::get_if<service::Finish>(&delta.body)) {
      reason_ = finish->reason == service::FinishReason::kLength ? "length" : "stop";
    }
    if (options_.stream) send(out);
  }

  void finish(const service::Usage& usage, std::string& out) override {
    JsonWriter json(out);
    open_line(json, options_, piece_);
    json.field("done", true).field("done_reason", reason_);
    if (options_.context) write_context(json);
    write_measures(json, usage);
    if (!options_.warnings.empty()) write_warnings(json, options_.warnings);
    json.end_object();
    if (options_.stream) out += '\n';
  }

  void abort(const Error& error, std::string& out) override {
    out += error_json(error.message) + '\n';
  }
  Response failure(const Error& error) override { return error_response(error); }

 private:
  // A call is told once it is whole: its arguments are an object, not a text, in this API. One
  // that the answer's end cuts off is none.
  void add_call(service::ToolCallDelta&& call) {
    const bool complete = call.complete;
    if (!call.id.empty()) {
      call_ = std::move(call);
    } else {
      call_.arguments += call.arguments;
    }
    if (complete) piece_.calls.push_back(std::exchange(call_, {}));
  }

  void send(std::string& out) {
    if (piece_.text.empty() && piece_.thinking.empty() && piece_.calls.empty() &&
        piece_.tokens.empty()) {
      return;
    }
    JsonWriter json(out);
    open_line(json, options_, piece_);
    json.field("done", false).end_object();
    out += '\n';
    piece_ = {};
  }

  // The answer's text is read again, which tells what a client would send back.
  void write_context(JsonWriter& json) const {
    const auto answer =
        generation_.model().tokenizer->encode(answer_, false, text::Specials::kText);
    json.key("context").begin_array();
    for (const service::Token token : generation_.prompt_tokens(0)) json.integer(int64_t{token});
    if (answer.ok()) {
      for (const service::Token token : *answer) json.integer(int64_t{token});
    }
    json.end_array();
  }

  void write_measures(JsonWriter& json, const service::Usage& usage) const {
    const auto nanoseconds = [](Duration duration) {
      return int64_t{std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count()};
    };
    const ResponseTimes::Spans spans = times_.spans();
    json.field("total_duration", nanoseconds(spans.total));
    json.field("load_duration", nanoseconds(spans.load));
    json.field("prompt_eval_count", usage.prompt_tokens);
    json.field("prompt_eval_duration", nanoseconds(spans.prompt));
    json.field("eval_count", usage.completion_tokens);
    json.field("eval_duration", nanoseconds(spans.answer));
  }

  const service::Generation& generation_;
  const ResponseOptions options_;
  ResponseTimes times_;
  Piece piece_;                  // not sent yet
  service::ToolCallDelta call_;  // not whole yet
  std::string answer_;           // for the context
  const char* reason_ = "stop";
};

}  // namespace

std::unique_ptr<ResponseWriter> response_writer(const service::Generation& generation,
                                                ResponseOptions options,
                                                const RequestTimes& times) {
  return std::make_unique<Writer>(generation, std::move(options), times);
}

std::string load_line(const ResponseOptions& options, const std::optional<KeepAlive>& keep_alive) {
  std::string line;
  JsonWriter json(line);
  open_line(json, options, {});
  const bool unloads = keep_alive && keep_alive->unloads();
  json.field("done", true).field("done_reason", unloads ? "unload" : "load").end_object();
  return line;
}

std::string time_text(std::chrono::system_clock::time_point time) {
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(time - second);
  const std::time_t unix_s = std::chrono::system_clock::to_time_t(second);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", fmt::gmtime(unix_s), rest.count());
}

std::string now_text() { return time_text(std::chrono::system_clock::now()); }

}  // namespace pippin::api::ollama
