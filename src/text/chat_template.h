// ChatTemplate: a model's Jinja chat template, compiled once by textkit (minijinja). Immutable. Thread: any.
#pragma once

#include <memory>
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

  /// Renders with a context of JSON text, as transformers passes it: {"messages": [...], "tools": null or [...], "documents": null,
  /// "add_generation_prompt": bool, "bos_token": "...", "eos_token": "...", ...}.
  /// Errors: kInvalidArgument with the template's own text when it calls raise_exception; kUnsupported when it fails otherwise.
  Result<std::string> render(std::string_view context_json) const;

  /// The same, told apart into template text and text that came from the strings of "messages" (so that user text cannot smuggle in
  /// special tokens). The joined texts equal render()'s.
  Result<std::vector<Span>> render_spans(std::string_view context_json) const;

  const std::string& source() const { return source_; }

 private:
  ChatTemplate(void* handle, std::string source) : handle_(handle), source_(std::move(source)) {}
  void* handle_;
  std::string source_;
};

}  // namespace pippin::text
