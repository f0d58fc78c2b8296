// ReasoningSplitter: tells thinking from content in the text outside calls. Owner: AnswerParser.
// Thread: one.
#pragma once

#include <string>
#include <string_view>

#include "parse/dialect.h"
#include "parse/event.h"

namespace pippin::parse {

class ReasoningSplitter {
 public:
  static constexpr size_t kSpaceBytesMax = 256;
  static constexpr size_t kMarkBytesMax = 512;  // of a mark with its `until`

  /// `dialect` null: all is content.
  ReasoningSplitter(const ReasoningDialect* dialect, bool starts_inside)
      : dialect_(dialect), inside_(dialect && starts_inside), trim_(inside_) {}

  /// Takes text that stands at `at` in the answer.
  void push(std::string_view text, size_t at, Events& events);
  /// A call, or the end of the answer, is here: nothing before it can be a mark any more.
  void boundary(bool call, Events& events);
  bool inside() const { return inside_; }

 private:
  // The first mark in what is pending, or the start of one.
  struct Found {
    const Mark* mark = nullptr;
    size_t at = 0;
    size_t bytes = 0;
    bool partial = false;
  };
  Found find(size_t from) const;
  Found match(const Mark& mark, size_t at) const;
  bool counts(const Mark& mark, size_t from, size_t at) const;
  // Releases what stands from `from` before the mark, and turns.
  void turn(const Found& found, size_t from, Events& events);
  void release(std::string_view text, size_t at, Events& events);
  void emit(std::string_view text, size_t at, Events& events);

  const ReasoningDialect* dialect_;
  bool inside_;
  bool trim_;          // whitespace next is the mark's, not the text's
  bool blank_ = true;  // no content since the start, a mark or a call
  std::string pending_;
  size_t pending_at_ = 0;
  std::string space_;  // whitespace that goes if a mark follows
  size_t space_at_ = 0;
};

}  // namespace pippin::parse
