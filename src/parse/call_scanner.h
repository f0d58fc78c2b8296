// CallScanner: finds calls in an answer's text and passes on all other text. Owner: AnswerParser.
// Thread: one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "parse/argument_reader.h"
#include "parse/call.h"
#include "parse/event.h"
#include "parse/reasoning_splitter.h"

namespace pippin::parse {

class CallScanner {
 public:
  static constexpr size_t kHeadBytesMax = size_t{16} << 10;
  static constexpr size_t kTailBytesMax = size_t{4} << 10;
  static constexpr size_t kNameBytesMax = 256;
  static constexpr int kCallsMax = 1024;

  /// `dialect` null: all is text.
  CallScanner(const ToolDialect* dialect, std::vector<ToolSpec> offered, ReasoningSplitter& text);

  /// Begins behind the start marker that the prompt ends with, if any. Requires: nothing was
  /// pushed.
  void start_behind(std::string_view generation_prefix);
  void push(std::string_view piece, Events& events);
  void finish(Events& events);
  /// Returns whether the text is in a call's arguments or behind them.
  bool in_call() const { return state_ == State::kArguments || state_ == State::kTail; }
  /// As AnswerParser's.
  bool in_unmarked_head() const { return state_ == State::kHead && unmarked(); }
  std::optional<ArgumentsAhead> arguments_ahead() const;

 private:
  enum class State { kText, kHead, kArguments, kTail };

  void advance(bool last, Events& events);
  // Each looks at what is pending and returns false if it needs more text.
  bool scan(bool last, Events& events);
  bool read_head(bool last, Events& events);
  bool read_arguments(bool last, Events& events);
  bool read_tail(bool last, Events& events);

  // Hands on text that stands at `at` in the answer.
  void release(std::string_view text, size_t at, Events& events);
  void begin_call(Head head, Events& events);
  void end_call(bool complete, Events& events);
  void refuse_head(bool is_broken, Events& events);
  void note(std::string_view what, Events& events);
  bool is_cut_end_marker(std::string_view text) const;
  const ToolSpec* find_offered(std::string_view name) const;
  std::string offered_name(std::string_view name) const;
  bool unmarked() const { return source_->unmarked.contains(start_marker_); }
  std::string_view pending() const { return std::string_view(pending_).substr(at_); }

  const ToolDialect* dialect_;
  std::vector<ToolSpec> offered_;
  ReasoningSplitter& text_;

  State state_ = State::kText;
  std::string pending_;  // what is not yet decided begins at at_
  size_t at_ = 0;
  size_t base_ = 0;          // bytes of the answer before pending_
  std::string space_;        // whitespace that goes if a call follows
  bool line_start_ = true;   // only spaces since the line began
  bool after_call_ = false;  // no text since
  std::string_view start_marker_;
  const ToolDialect* source_ = nullptr;  // of the start marker: dialect_ or the generic one
  bool from_prompt_ = false;             // the start marker is the generation prefix
  bool first_ = true;                    // call of its section
  NestingState nesting_;
  std::unique_ptr<ArgumentReader> reader_;
  std::string name_;             // of the call
  bool arguments_seen_ = false;  // a byte of them, or of what stands around them
  int calls_ = 0;
};

}  // namespace pippin::parse
