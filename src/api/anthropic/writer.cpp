#include "api/anthropic/writer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "api/anthropic/errors.h"
#include "api/shared/names.h"
#include "service/json.h"

namespace pippin::api::anthropic {
namespace {

using service::JsonWriter;

constexpr std::string_view kCallPrefix = "call_";

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \n\r\t") == std::string_view::npos;
}

std::string tool_use_id(std::string_view id) {
  if (id.starts_with(kCallPrefix)) id.remove_prefix(kCallPrefix.size());
  return "toolu_" + std::string(id);
}

/// The input tokens as this API splits them: each counts once.
struct InputTokens {
  int read = 0;     // from the cache
  int written = 0;  // into the cache
  int others = 0;

  /// Without a usage nothing is known of the cache yet.
  InputTokens(const service::Generation& generation, const service::Usage* usage,
              bool cache_marked) {
    const engine::EngineOptions& options = generation.model().engine->options();
    const int all = generation.usage().prompt_tokens;
    others = all;
    if (usage == nullptr) return;
    read = usage->cached_tokens;
    // All that is computed is kept, but the last token is always computed anew.
    if (cache_marked && options.prefix_cache) written = std::max(0, all - 1 - read);
    others = all - read - written;
  }
};

/// The block that is being written.
struct Block {
  enum class Kind : uint8_t { kThinking, kText, kToolUse };
  Kind kind = Kind::kText;
  int index = 0;
  int call = -1;  // which of the answer's calls
  std::string id, name;
  std::string text;  // thinking, text, or the call's input as JSON
};

class MessageWriter final : public ResponseWriter {
 public:
  MessageWriter(const service::Generation& generation, WriterOptions options)
      : generation_(generation), options_(std::move(options)), id_(new_id("msg_")) {}

  bool streams() const override { return options_.streams; }
  std::string id() const override { return id_; }

  Response stream_head() const override {
    Response head = ResponseWriter::stream_head();
    head.heartbeat = kPing;
    return head;
  }

  void begin(std::string& out) override {
    send(out, "message_start", [&](JsonWriter& json) {
      json.key("message");
      write_message(json, nullptr, {});
    });
    out += kPing;
  }

  void add(service::Delta&& delta, std::string& out) override {
    if (const auto* text = std::get_if<service::TextDelta>(&delta.body)) {
      add_text(text->text, out);
    } else if (const auto* thinking = std::get_if<service::ReasoningDelta>(&delta.body)) {
      add_thinking(thinking->text, out);
    } else if (const auto* call = std::get_if<service::ToolCallDelta>(&delta.body)) {
      add_call(*call, out);
    } else if (auto* finish = std::get_if<service::Finish>(&delta.body)) {
      finish_ = std::move(*finish);
    }
  }

  void finish(const service::Usage& usage, std::string& out) override {
    close(out);
    if (!options_.streams) {
      JsonWriter json(out);
      return write_message(json, &usage, content_json_);
    }
    send(out, "message_delta", [&](JsonWriter& json) {
      json.key("delta").begin_object();
      write_stop(json, &usage);
      json.end_object().key("usage").begin_object();
      write_counts(json, &usage);
      json.end_object();
      write_context_management(json);
    });
    send(out, "message_stop", [](JsonWriter&) {});
  }

  void abort(const Error& error, std::string& out) override {
    out += "event: error\ndata: " + error_json(error, options_.request_id) + "\n\n";
  }

  Response failure(const Error& error) override {
    return error_response(error, options_.request_id);
  }

 private:
  /// Appends one event; `write` adds its fields.
  template <typename Write>
  void send(std::string& out, std::string_view type, Write write) const {
    if (!options_.streams) return;
    out += "event: ";
    out += type;
    out += "\ndata: ";
    JsonWriter json(out);
    json.begin_object().field("type", type);
    write(json);
    json.end_object();
    out += "\n\n";
  }

  template <typename Write>
  void send_delta(std::string& out, std::string_view type, Write write) const {
    send(out, "content_block_delta", [&](JsonWriter& json) {
      json.field("index", open_->index).key("delta").begin_object().field("type", type);
      write(json);
      json.end_object();
    });
  }

  // --- The message ---

  // Without a usage it has only begun.
  void write_message(JsonWriter& json, const service::Usage* usage,
                     std::string_view content) const {
    json.begin_object().field("id", id_).field("type", "message").field("role", "assistant");
    json.field("model", generation_.model().id);
    json.key("content").raw("[" + std::string(content) + "]");
    write_stop(json, usage);
    json.key("usage").begin_object();
    write_counts(json, usage);
    json.field("service_tier", options_.batch ? "batch" : "standard").end_object();
    write_context_management(json);
    if (!options_.warnings.empty()) write_warnings(json, options_.warnings);
    json.end_object();
  }

  void write_stop(JsonWriter& json, const service::Usage* usage) const {
    json.key("stop_reason");
    if (usage == nullptr) {
      json.null();
    } else {
      json.string(stop_reason(*usage));
    }
    json.key("stop_sequence");
    if (finish_.stop.empty() || finish_.called_tools) {
      json.null();
    } else {
      json.string(finish_.stop);
    }
  }

  std::string_view stop_reason(const service::Usage& usage) const {
    if (finish_.reason == service::FinishReason::kLength) {
      const int asked = generation_.request().max_tokens.value_or(0);
      const int allowed = generation_.model().output_tokens_max;
      const bool limited =
          usage.completion_tokens >= asked || (allowed > 0 && usage.completion_tokens >= allowed);
      return limited ? "max_tokens" : "model_context_window_exceeded";
    }
    if (finish_.called_tools) return "tool_use";
    return finish_.stop.empty() ? "end_turn" : "stop_sequence";
  }

  void write_counts(JsonWriter& json, const service::Usage* usage) const {
    const InputTokens input(generation_, usage, options_.cache_marked);
    json.field("input_tokens", input.others);
    json.field("cache_creation_input_tokens", input.written);
    json.field("cache_read_input_tokens", input.read);
    json.key("cache_creation").begin_object().field("ephemeral_5m_input_tokens", input.written);
    json.field("ephemeral_1h_input_tokens", 0).end_object();
    json.field("output_tokens", usage != nullptr ? usage->completion_tokens : 0);
    json.key("output_tokens_details").begin_object();
    json.field("thinking_tokens", usage != nullptr ? usage->reasoning_tokens : 0).end_object();
  }

  // No edit of a conversation is done here, and none is claimed.
  void write_context_management(JsonWriter& json) const {
    if (!options_.manages_context) return;
    json.key("context_management").begin_object().key("applied_edits").begin_array();
    json.end_array().end_object();
  }

  // --- Its blocks ---

  Block& open(Block::Kind kind, std::string& out) {
    close(out);
    Block block;
    block.kind = kind;
    block.index = blocks_++;
    return open_.emplace(std::move(block));
  }

  // As an event begins it: empty.
  void announce(std::string& out) const {
    send(out, "content_block_start", [&](JsonWriter& json) {
      json.field("index", open_->index).key("content_block");
      write_block(json, {}, {});
    });
  }

  void write_block(JsonWriter& json, std::string_view text, std::string_view signature) const {
    json.begin_object();
    switch (open_->kind) {
      case Block::Kind::kThinking:
        json.field("type", "thinking").field("thinking", text).field("signature", signature);
        break;
      case Block::Kind::kText:
        json.field("type", "text").field("text", text);
        break;
      case Block::Kind::kToolUse:
        json.field("type", "tool_use").field("id", open_->id).field("name", open_->name);
        json.key("input");
        write_input(json, text);
        break;
    }
    json.end_object();
  }

  // A call that the limit has cut off has no input yet.
  static void write_input(JsonWriter& json, std::string_view text) {
    const Result<boost::json::value> input = service::parse_json(text);
    if (input.ok() && input->is_object()) {
      json.value(*input);
    } else {
      json.begin_object().end_object();
    }
  }

  // Ends the open block, if there is one.
  void close(std::string& out) {
    blank_.clear();
    if (!open_) return;
    std::string signature;
    const bool thinking = open_->kind == Block::Kind::kThinking;
    const bool shown = !thinking || options_.show_thinking;
    if (thinking) {
      signature =
          shown ? options_.signer->sign(open_->text) : options_.signer->encrypt(open_->text);
      send_delta(out, "signature_delta",
                 [&](JsonWriter& json) { json.field("signature", signature); });
    }
    send(out, "content_block_stop", [&](JsonWriter& json) { json.field("index", open_->index); });
    if (!options_.streams) {
      if (!content_json_.empty()) content_json_ += ',';
      JsonWriter json(content_json_);
      write_block(json, shown ? open_->text : std::string(), signature);
    }
    open_.reset();
  }

  void add_thinking(const std::string& text, std::string& out) {
    if (text.empty()) return;
    if (!open_ || open_->kind != Block::Kind::kThinking) {
      if (is_blank(text)) return;  // empty thinking is none
      open(Block::Kind::kThinking, out);
      announce(out);
    }
    open_->text += text;
    if (options_.show_thinking)
      send_delta(out, "thinking_delta", [&](JsonWriter& json) { json.field("thinking", text); });
  }

  // Blanks between thinking and calls are no text; they wait for what follows.
  void add_text(std::string text, std::string& out) {
    if (text.empty()) return;
    if (!open_ || open_->kind != Block::Kind::kText) {
      blank_ += text;
      if (is_blank(blank_)) return;
      text = std::exchange(blank_, {});
      open(Block::Kind::kText, out);
      announce(out);
    }
    if (!options_.streams) open_->text += text;
    send_delta(out, "text_delta", [&](JsonWriter& json) { json.field("text", text); });
  }

  void add_call(const service::ToolCallDelta& delta, std::string& out) {
    if (!open_ || open_->call != delta.index) {
      Block& block = open(Block::Kind::kToolUse, out);
      block.call = delta.index;
      block.id = tool_use_id(delta.id);
      block.name = delta.name;
      announce(out);
    }
    if (!options_.streams) open_->text += delta.arguments;
    if (!delta.arguments.empty()) {
      send_delta(out, "input_json_delta",
                 [&](JsonWriter& json) { json.field("partial_json", delta.arguments); });
    }
    if (delta.complete) close(out);
  }

  const service::Generation& generation_;
  const WriterOptions options_;
  const std::string id_;
  int blocks_ = 0;  // begun
  std::optional<Block> open_;
  std::string blank_;
  std::string content_json_;  // blocks that have ended, with commas; of a whole message only
  service::Finish finish_;
};

}  // namespace

std::unique_ptr<ResponseWriter> message_writer(const service::Generation& generation,
                                               WriterOptions options) {
  return std::make_unique<MessageWriter>(generation, std::move(options));
}

}  // namespace pippin::api::anthropic
