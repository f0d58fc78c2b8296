// AnswerParser: tells an answer's thinking, content and calls apart while it is written. Owner: one
// choice of an answer. Thread: one.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "parse/dialect.h"
#include "parse/event.h"

namespace pippin::parse {

class CallScanner;
class ReasoningSplitter;

struct AnswerOptions {
  const ToolDialect* tools = nullptr;           // null: calls are not looked for
  const ReasoningDialect* reasoning = nullptr;  // null: all text is content
  std::vector<ToolSpec> offered;  // guides the types of tagged arguments; names unmarked calls
  /// Whether the template has opened the thinking: registry.h's starts_inside().
  bool starts_inside = false;
  /// Start marker that the prompt ends with: registry.h's generation_prefix().
  std::string_view generation_prefix = {};
};

/// Takes decoded text, special tokens included, in pieces of any size. Joined, the events do not
/// depend on how the text is cut, nor on where inside a character it is. Text is released as soon
/// as it cannot be part of a marker; texts that do not follow each other in the answer are events
/// of their own. A call inside thinking is found; its arguments stream as they are written. Nothing
/// that a model writes is an error: what is no call comes back as text. Memory is bounded: what is
/// held back has limits, and what goes over them is text.
class AnswerParser {
 public:
  explicit AnswerParser(AnswerOptions options);
  ~AnswerParser();
  AnswerParser(AnswerParser&&) noexcept;
  AnswerParser& operator=(AnswerParser&&) noexcept;

  /// Takes the next piece and appends what is now certain. Requires: finish() was not called.
  void push(std::string_view piece, Events& events);
  /// Appends what was held back, as the answer has ended.
  void finish(Events& events);

  /// Returns whether what comes next would be thinking, as far as is certain.
  bool thinking() const;
  /// Returns whether the text ends in what may become an unmarked call, before its arguments.
  bool in_unmarked_head() const;
  /// Returns the call whose arguments the next byte begins, spaces aside, if the text ends there
  /// and is without marks.
  std::optional<ArgumentsAhead> arguments_ahead() const;

 private:
  std::unique_ptr<ReasoningSplitter> splitter_;
  std::unique_ptr<CallScanner> scanner_;
};

}  // namespace pippin::parse
