// GrammarVocabulary, Grammar, Matcher: what a model may write next, over textkit. A vocabulary is
// prepared once for a model, a grammar compiled once for a request, a matcher walked once for a
// sequence.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread.h"
#include "text/tokenizer.h"

namespace pippin::text {

/// A model's tokens as grammars need them. Thread: any.
class GrammarVocabulary {
 public:
  /// `ends` are the tokens that may end an answer. Cost: nothing; the first use takes tenths of a
  /// second, which prepare() and prepare_ahead() take beforehand.
  GrammarVocabulary(std::shared_ptr<const Tokenizer> tokenizer, std::vector<Token> ends);
  ~GrammarVocabulary();
  GrammarVocabulary(const GrammarVocabulary&) = delete;
  GrammarVocabulary& operator=(const GrammarVocabulary&) = delete;

  /// Errors: kInternal.
  Result<void> prepare() const;
  /// Starts to prepare on a thread of its own, which the destructor waits for. Requires: not called
  /// before, nor beside another call.
  void prepare_ahead();

  /// Returns the tokens, as bits of a mask, that have more than spaces behind a colon or an opening
  /// parenthesis. Cost: tens of milliseconds once.
  const std::vector<uint32_t>& reaching_past_heads() const;

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const std::shared_ptr<const Tokenizer>& tokenizer_ptr() const { return tokenizer_; }
  const std::vector<Token>& ends() const { return ends_; }

 private:
  friend class Grammar;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::vector<Token> ends_;
  mutable std::once_flag once_;
  mutable void* handle_ = nullptr;
  mutable std::optional<Error> error_;
  mutable std::once_flag reaching_once_;
  mutable std::vector<uint32_t> reaching_;
  Thread preparing_;
};

enum class GrammarSyntax : uint8_t {
  kJsonSchema,
  kRegex,  // of the whole text
  kLark,   // llguidance's dialect; starts at `start`
  kGbnf,   // llama.cpp's; starts at `root`
};

/// Steps a grammar along one text. Thread: one at a time.
class Matcher {
 public:
  ~Matcher();
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;

  /// Writes the tokens that may come next: bit t % 32 of word t / 32. After the end, the ends.
  /// Errors: kTooLarge, where the grammar is too ambiguous to go on, or there is no memory for it;
  /// kInternal.
  Result<void> fill_mask(std::vector<uint32_t>& mask);
  /// Moves on. Errors: kInvalidArgument for a token that the mask does not allow.
  Result<void> accept(std::span<const Token> tokens);
  /// Returns the tokens that must come next; none where there is a choice.
  std::vector<Token> forced();
  /// Returns whether the text may end here.
  bool is_accepting();
  /// Returns whether nothing but the end can follow.
  bool is_complete() const;

 private:
  friend class Grammar;
  Matcher(std::shared_ptr<const GrammarVocabulary> vocabulary, void* handle);
  const std::shared_ptr<const GrammarVocabulary> vocabulary_;
  void* const handle_;  // null: there was no memory for it
};

/// Thread: any.
class Grammar {
 public:
  /// Errors: kInvalidArgument with the compiler's message; kTooLarge over the limits on size and
  /// work. Cost: a millisecond to a second.
  static Result<std::shared_ptr<const Grammar>> compile(
      std::shared_ptr<const GrammarVocabulary> vocabulary, GrammarSyntax syntax,
      std::string_view source);
  ~Grammar();
  Grammar(const Grammar&) = delete;
  Grammar& operator=(const Grammar&) = delete;

  /// Returns a matcher at the start; one that only fails, where there is no memory for it. Cost:
  /// tens of microseconds.
  std::unique_ptr<Matcher> start() const;

 private:
  Grammar(std::shared_ptr<const GrammarVocabulary> vocabulary, void* handle);
  const std::shared_ptr<const GrammarVocabulary> vocabulary_;
  void* const handle_;
};

/// Returns a JSON Schema as a Lark grammar takes it behind %json. With `lenient`, what cannot be
/// enforced is left out. Errors: kInvalidArgument of the field, with the keyword's place in it:
/// "Invalid 'FIELD.properties.a.type': ..".
Result<std::string> check_schema(std::string_view schema, bool lenient, std::string_view field);

/// Returns a GBNF grammar as Lark. Errors: kInvalidArgument, naming the line.
Result<std::string> gbnf_to_lark(std::string_view source);

/// Returns a Lark grammar for the texts of another one as they stand in a JSON string. Errors:
/// kInvalidArgument, naming the line and what has no such form.
Result<std::string> lark_in_json(std::string_view source);

}  // namespace pippin::text
