// LarkText: writes a grammar in llguidance's dialect of Lark for one model's vocabulary: texts that
// hold marks (text::Tokenizer::is_mark), free text up to a mark. Thread: one.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/tokenizer.h"

namespace pippin::service {

/// Expressions are strings of Lark that stand in a rule, in a sequence with others.
class LarkText {
 public:
  /// Requires: the tokenizer outlives this object.
  explicit LarkText(const text::Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// Returns an expression for exactly this text, marks in it by their number.
  std::string literal(std::string_view text) const;
  /// Returns an expression for one of these expressions. Requires: not empty.
  std::string one_of(const std::vector<std::string>& expressions) const;
  /// Defines a rule; returns its name, an expression.
  std::string rule(const std::string& expression);

  /// Returns an expression for any text without marks, possibly none, in which none of
  /// `without` stands.
  std::string free_text(const std::vector<std::string>& without);
  /// Returns an expression for such a text and then the first of `marks`.
  /// Requires: not empty; all `marks` begin with a mark token, or none does.
  std::string free_until(const std::vector<std::string>& marks,
                         const std::vector<std::string>& without);
  /// Returns an expression for a text of this regular expression and then `mark`.
  std::string matching_until(const std::string& terminal, std::string_view mark);
  bool begins_with_mark(std::string_view text) const;

  /// Returns the grammar.
  std::string grammar(const std::string& start) const;

 private:
  /// A mark, or the text between two.
  using Piece = std::variant<text::Token, std::string>;
  std::vector<Piece> pieces(std::string_view text) const;
  static std::string written(const Piece& piece);

  const text::Tokenizer& tokenizer_;
  std::string rules_;
  int count_ = 0;
};

/// Returns `text` as a part of a regular expression that matches just it, without slashes.
std::string regex_literal(std::string_view text);
/// Returns a regular expression as Lark writes it, between slashes.
std::string lark_regex(std::string_view pattern);
/// Returns a Lark terminal for any text in which none of `texts` stands.
std::string terminal_without(const std::vector<std::string>& texts);

}  // namespace pippin::service
