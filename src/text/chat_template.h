// ChatTemplate: a model's Jinja chat template, compiled once by textkit (minijinja). Immutable.
// Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace pippin::text {

class ChatTemplate {
 public:
  /// Compiles template source. Errors: kInvalidFile with the engine's message and line.
  static Result<std::shared_ptr<const ChatTemplate>> compile(std::string_view source);
  ~ChatTemplate();

  /// Renders with a context of JSON text, as transformers passes it: {"messages": [...], "tools":
  /// null or [...], "documents": null, "add_generation_prompt": bool, "bos_token": "...",
  /// "eos_token": "...", ...}. `unix_time` is what strftime_now() tells, if not the real time.
  /// Instructions, output and nesting are limited by the size of the context. Errors:
  /// kInvalidArgument with the template's own text when it calls raise_exception, and for a context
  /// that is no JSON object; kUnsupported when it fails otherwise or goes over a limit.
  Result<std::string> render(std::string_view context_json,
                             std::optional<int64_t> unix_time = {}) const;

  /// The same, told apart into template text and what in the strings of "messages", "tools" and
  /// "documents" looks like a control token of the tokenizer, or ends as one starts (so that user
  /// text cannot smuggle them in). The joined texts equal render()'s. A text that the template
  /// itself looks for, as in `content.split("</think>")`, stays template text. Cost: one rendering;
  /// a second one when such a text occurs.
  Result<std::vector<Span>> render_spans(std::string_view context_json, const Tokenizer& tokenizer,
                                         std::optional<int64_t> unix_time = {}) const;

  const std::string& source() const { return source_; }

 private:
  ChatTemplate(void* handle, std::string source) : handle_(handle), source_(std::move(source)) {}
  void* handle_;
  std::string source_;
};

}  // namespace pippin::text
