#include "api/openai/responses/writer.h"

#include <fmt/format.h>

#include <iterator>
#include <optional>
#include <utility>

#include "api/openai/errors.h"
#include "api/shared/logprobs.h"

namespace pippin::api::openai::responses {
namespace {

using service::JsonWriter;
using service::ScoredToken;
using Kind = OutputItem::Kind;

std::string_view failure_code(Code code) {
  switch (code) {
    case Code::kContextLength:
      return "context_length_exceeded";
    case Code::kOverloaded:
      return "rate_limit_exceeded";
    case Code::kInvalidArgument:
    case Code::kUnsupported:
      return "invalid_prompt";
    default:
      return "server_error";
  }
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \n\r\t") == std::string_view::npos;
}

class Writer final : public ResponseWriter {
 public:
  explicit Writer(WriterOptions options) : options_(std::move(options)) {}

  bool streams() const override { return options_.streams; }
  std::string id() const override { return options_.frame.id; }

  void begin(std::string& out) override {
    Progress progress;
    if (options_.background) progress.status = "queued";
    const std::string body = object(progress);
    send_response(out, "response.created", body);
    send_response(out, options_.background ? "response.queued" : "response.in_progress", body);
    queued_ = options_.background;
  }

  void add(service::Delta&& delta, std::string& out) override {
    if (queued_) start_running(out);
    if (auto* text = std::get_if<service::TextDelta>(&delta.body)) {
      add_text(std::move(*text), out);
    } else if (const auto* thinking = std::get_if<service::ReasoningDelta>(&delta.body)) {
      add_thinking(thinking->text, out);
    } else if (const auto* call = std::get_if<service::ToolCallDelta>(&delta.body)) {
      add_call(*call, out);
    } else if (const auto* finish = std::get_if<service::Finish>(&delta.body)) {
      too_long_ = finish->reason == service::FinishReason::kLength;
    }
  }

  // For clients whose clock for silence hears no comments: the event says nothing new, but to all
  // of them it is a known one. Only before the first item: to some it replaces what came before.
  void keep_alive(std::string& out) override {
    if (items_ == 0 && !queued_) send_response(out, "response.in_progress", object(Progress{}));
  }

  void finish(const service::Usage& usage, std::string& out) override {
    if (!open_ && items_ == 0) {  // an answer of nothing is an empty message
      const std::string text = std::exchange(blank_, {});
      std::vector<ScoredToken> tokens = std::exchange(blank_tokens_, {});
      open_message(out);
      write_text(text, std::move(tokens), out);
    }
    close(!too_long_, out);
    Progress progress = done();
    progress.status = too_long_ ? "incomplete" : "completed";
    if (too_long_) progress.incomplete_reason = "max_output_tokens";
    progress.usage = usage;
    end(progress, too_long_ ? "response.incomplete" : "response.completed", out);
  }

  void abort(const Error& error, std::string& out) override {
    close(false, out);
    Progress progress = done();
    if (error.code == Code::kCancelled && options_.background) {
      progress.status = "cancelled";
      return end(progress, "response.incomplete", out);
    }
    progress.status = "failed";
    progress.error_code = failure_code(error.code);
    progress.error_message = error.message;
    end(progress, "response.failed", out);
  }

  Response failure(const Error& error) override { return error_response(error); }

 private:
  /// Appends one event; `write` adds its fields.
  template <typename Write>
  void send(std::string& out, std::string_view type, Write write) {
    if (!options_.streams) return;
    out += "event: ";
    out += type;
    out += "\ndata: ";
    JsonWriter json(out);
    json.begin_object().field("type", type).field("sequence_number", sequence_++);
    write(json);
    json.end_object();
    out += "\n\n";
  }

  void send_response(std::string& out, std::string_view type, std::string_view body) {
    send(out, type, [&](JsonWriter& json) { json.key("response").raw(body); });
  }

  /// An event of the open item.
  template <typename Write>
  void send_of_item(std::string& out, std::string_view type, Write write) {
    send(out, type, [&](JsonWriter& json) {
      json.field("item_id", open_->id).field("output_index", open_->index);
      write(json);
    });
  }

  /// An event of the open item's only part.
  template <typename Write>
  void send_of_part(std::string& out, std::string_view type, Write write) {
    send_of_item(out, type, [&](JsonWriter& json) {
      json.field(open_->summary ? "summary_index" : "content_index", 0);
      write(json);
    });
  }

  std::string object(const Progress& progress) const {
    std::string body;
    JsonWriter json(body);
    write_response(json, options_.frame, progress);
    return body;
  }

  Progress done() {
    output_json_ = "[" + items_json_ + "]";
    Progress progress;
    progress.output_json = output_json_;
    return progress;
  }

  void start_running(std::string& out) {
    queued_ = false;
    const std::string body = object(Progress{});
    // If it cannot be kept now, its end says so.
    if (options_.keep) static_cast<void>(options_.keep(body, false));
    send_response(out, "response.in_progress", body);
  }

  void end(const Progress& progress, std::string_view event, std::string& out) {
    std::string body = object(progress);
    if (options_.keep) {
      if (const Result<void> kept = options_.keep(body, true); !kept.ok()) {
        options_.frame.store = false;
        options_.frame.warnings.push_back({"not_stored", "store", kept.error().message});
        body = object(progress);
      }
    }
    if (!options_.streams) {
      out += body;
      return;
    }
    send_response(out, event, body);
    if (options_.done_marker) out += kDoneMarker;
  }

  OutputItem& open(Kind kind, std::string& out) {
    close(true, out);
    constexpr const char* kPrefixes[] = {"rs", "msg", "fc", "ctc"};
    OutputItem item;
    item.kind = kind;
    item.index = items_++;
    item.id = fmt::format("{}_{}_{}", kPrefixes[static_cast<int>(kind)], options_.frame.id_end(),
                          item.index);
    item.summary = kind == Kind::kReasoning && options_.summary;
    item.encrypted = kind == Kind::kReasoning && options_.encrypted;
    return open_.emplace(std::move(item));
  }

  void announce(std::string& out) {
    send(out, "response.output_item.added", [&](JsonWriter& json) {
      json.field("output_index", open_->index).key("item");
      write_item(json, *open_, "in_progress", false);
    });
  }

  // Ends the open item, if there is one.
  void close(bool whole, std::string& out) {
    blank_.clear();
    blank_tokens_.clear();
    if (!open_) return;
    const bool call = open_->kind == Kind::kCall || open_->kind == Kind::kCustomCall;
    if (call) {
      close_call(out);
      whole = open_->complete;
    } else {
      close_part(out);
    }
    std::string item_json;
    JsonWriter item(item_json);
    write_item(item, *open_, whole ? "completed" : "incomplete", true);
    send(out, "response.output_item.done", [&](JsonWriter& json) {
      json.field("output_index", open_->index).key("item").raw(item_json);
    });
    if (!items_json_.empty()) items_json_ += ',';
    items_json_ += item_json;
    open_.reset();
  }

  void close_call(std::string& out) {
    const bool custom = open_->kind == Kind::kCustomCall;
    if (custom) {
      const std::string rest = open_->input.finish();
      if (!rest.empty()) send_call_text(rest, out);
    }
    send_of_item(
        out,
        custom ? "response.custom_tool_call_input.done" : "response.function_call_arguments.done",
        [&](JsonWriter& json) {
          if (!custom) json.field("name", open_->name);
          json.field(custom ? "input" : "arguments", open_->text);
        });
  }

  void close_part(std::string& out) {
    const bool message = open_->kind == Kind::kMessage;
    send_of_part(out,
                 message          ? "response.output_text.done"
                 : open_->summary ? "response.reasoning_summary_text.done"
                                  : "response.reasoning_text.done",
                 [&](JsonWriter& json) {
                   json.field("text", open_->text);
                   if (message) write_logprobs(json.key("logprobs"), open_->tokens);
                 });
    send_part(out, "done", open_->text, open_->tokens);
  }

  void send_part(std::string& out, std::string_view what, std::string_view text,
                 const std::vector<ScoredToken>& tokens) {
    const std::string event = fmt::format(
        "response.{}.{}", open_->summary ? "reasoning_summary_part" : "content_part", what);
    send_of_part(out, event, [&](JsonWriter& json) {
      json.key("part");
      if (open_->kind == Kind::kMessage) return write_text_part(json, text, tokens);
      json.begin_object().field("type", open_->summary ? "summary_text" : "reasoning_text");
      json.field("text", text).end_object();
    });
  }

  void add_thinking(const std::string& text, std::string& out) {
    if (text.empty() || !options_.show_reasoning) return;
    if (!open_ || open_->kind != Kind::kReasoning) {
      if (is_blank(text)) return;  // empty thinking is none
      open(Kind::kReasoning, out);
      announce(out);
      send_part(out, "added", "", {});
    }
    open_->text += text;
    send_of_part(
        out,
        open_->summary ? "response.reasoning_summary_text.delta" : "response.reasoning_text.delta",
        [&](JsonWriter& json) { json.field("delta", text); });
  }

  // Blanks between thinking and calls are no message; they wait for what follows.
  void add_text(service::TextDelta delta, std::string& out) {
    if (!open_ || open_->kind != Kind::kMessage) {
      blank_ += delta.text;
      std::move(delta.tokens.begin(), delta.tokens.end(), std::back_inserter(blank_tokens_));
      if (is_blank(blank_)) return;
      delta.text = std::exchange(blank_, {});
      delta.tokens = std::exchange(blank_tokens_, {});
      open_message(out);
    }
    write_text(delta.text, std::move(delta.tokens), out);
  }

  void open_message(std::string& out) {
    open(Kind::kMessage, out);
    announce(out);
    send_part(out, "added", "", {});
  }

  void write_text(const std::string& text, std::vector<ScoredToken> tokens, std::string& out) {
    open_->text += text;
    send_of_part(out, "response.output_text.delta", [&](JsonWriter& json) {
      json.field("delta", text);
      write_logprobs(json.key("logprobs"), tokens);
    });
    std::move(tokens.begin(), tokens.end(), std::back_inserter(open_->tokens));
  }

  void add_call(const service::ToolCallDelta& delta, std::string& out) {
    if (!open_ || open_->call != delta.index) open_call(delta, out);
    const std::string text =
        open_->kind == Kind::kCustomCall ? open_->input.push(delta.arguments) : delta.arguments;
    if (!text.empty()) send_call_text(text, out);
    if (!delta.complete) return;
    open_->complete = true;
    close(true, out);
  }

  void open_call(const service::ToolCallDelta& delta, std::string& out) {
    const OfferedTool* tool = options_.tools.find_shown(delta.name);
    const bool custom = tool != nullptr && tool->custom;
    OutputItem& item = open(custom ? Kind::kCustomCall : Kind::kCall, out);
    item.call = delta.index;
    item.call_id = delta.id;
    item.name = tool == nullptr ? delta.name : tool->name;
    if (tool != nullptr) item.name_space = tool->name_space;
    announce(out);
  }

  void send_call_text(const std::string& text, std::string& out) {
    open_->text += text;
    send_of_item(out,
                 open_->kind == Kind::kCustomCall ? "response.custom_tool_call_input.delta"
                                                  : "response.function_call_arguments.delta",
                 [&](JsonWriter& json) { json.field("delta", text); });
  }

  WriterOptions options_;
  int sequence_ = 0;
  int items_ = 0;           // begun
  std::string items_json_;  // ended, with commas
  std::string output_json_;
  std::optional<OutputItem> open_;
  std::string blank_;
  std::vector<ScoredToken> blank_tokens_;
  bool queued_ = false;
  bool too_long_ = false;
};

}  // namespace

bool wants_done_marker(const Exchange& exchange) {
  const std::string_view agent = exchange.request().header("user-agent");
  return agent.find("OpenAI/") == std::string_view::npos && !agent.starts_with("codex");
}

std::unique_ptr<ResponseWriter> response_writer(WriterOptions options) {
  return std::make_unique<Writer>(std::move(options));
}

}  // namespace pippin::api::openai::responses
