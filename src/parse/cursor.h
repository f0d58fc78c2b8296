// Cursor: reads a text whose end may not have come yet. Heads and tails of calls are straight-line
// functions on it, run anew from their start when more text arrives. Thread: one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "parse/texts.h"

namespace pippin::parse {

/// Once it needs more text, or the text is not what was expected, everything it does is a no-op
/// that yields nothing; the caller looks at the state in the end, and in loops.
class Cursor {
 public:
  enum class State { kReading, kMore, kFailed, kDeclined };

  /// `last`: no text follows.
  Cursor(std::string_view text, bool last) : text_(text), last_(last) {}

  State state() const { return state_; }
  bool reading() const { return state_ == State::kReading; }
  size_t at() const { return at_; }
  /// Returns what is not taken yet, as far as it has come.
  std::string_view rest() const { return reading() ? text_.substr(at_) : std::string_view{}; }
  bool last() const { return last_; }
  /// Takes `bytes` of rest().
  void advance(size_t bytes) { at_ += reading() ? bytes : 0; }
  /// Waits for more text; fails if none follows.
  void need_more() { stop(last_ ? State::kFailed : State::kMore); }
  /// Goes back to where at() was `position`. Requires: reading().
  void rewind(size_t position) { at_ = position; }

  /// This is a broken call.
  void fail() { stop(State::kFailed); }
  /// This is no call at all, and nothing is wrong with that.
  void decline() { stop(State::kDeclined); }

  /// Returns whether the text has ended for good.
  bool ended();
  /// Returns the next byte without taking it; fails at the end.
  char peek();
  /// Takes one byte.
  void skip() { at_ += reading() && at_ < text_.size() ? 1 : 0; }
  /// Takes `literal` if it comes next.
  bool accept(std::string_view literal);
  /// Takes the longest of `literals` that comes next; returns its number, or -1.
  int accept_any(const Texts& literals);
  /// Takes `literal`, or fails.
  void expect(std::string_view literal);
  /// Takes whitespace.
  void space();
  /// Takes the text up to `end`, and `end`; returns the text. Fails after `bytes_max`.
  std::string_view until(std::string_view end, size_t bytes_max);
  /// Takes letters, digits and "_-./": a tool's name in most dialects. Fails if there is none.
  std::string_view word();

 private:
  void stop(State state);

  std::string_view text_;
  bool last_;
  size_t at_ = 0;
  State state_ = State::kReading;
};

/// Returns whether `c` is whitespace in JSON's sense.
constexpr bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
std::string_view trim(std::string_view text);

}  // namespace pippin::parse
