// Tokenizer and StreamDecoder: text to token ids and back, over textkit. Immutable once loaded.
// Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace pippin::text {

using Token = int32_t;

/// What a GGUF file says of its tokenizer (keys tokenizer.ggml.*). The caller copies it out of the
/// file, since text does not know store.
struct GgufVocabulary {
  std::string model;  // "gpt2", "gemma4" (BPE), "llama" (SentencePiece BPE), "t5" (unigram), "bert"
                      // (WordPiece)
  std::string pre;    // pre-tokenizer name ("smollm", "qwen2", "llama-bpe", ...); empty if absent
  std::vector<std::string> tokens;
  std::vector<float> scores;  // empty if absent
  std::vector<int32_t>
      token_types;  // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte; or empty
  std::vector<std::string> merges;  // "left right"; empty for other models than BPE
  std::optional<Token> bos, eos, unk, pad, sep;
  std::optional<bool> add_bos, add_eos, add_space_prefix, remove_extra_whitespaces;
  std::optional<bool> lowercase, strip_accents;  // tokenizer.ggml.normalizer.*, of WordPiece
  std::string precompiled_charsmap;              // bytes; empty if absent
};

/// What tokenizer_config.json and the model's other files say of a tokenizer.json.
struct TokenizerConfig {
  std::string bos, eos;  // texts of tokens; empty: as tokenizer.json has it
  /// Whether a text gets them; nothing: as tokenizer.json has it.
  std::optional<bool> add_bos, add_eos;
  /// Tokens of the model, 0: not known. Fewer are filled up with unused ones; added tokens beyond
  /// them, which the model cannot read, are left out.
  size_t size = 0;
};

/// How special tokens that stand in the text are read.
enum class Specials {
  kParse,  // "<|im_end|>" in the text becomes the control token: for rendered templates
  kText,   // it stays ordinary text: for what a user typed
};

/// One piece of a prompt: template text or user text.
struct Span {
  std::string text;
  Specials specials = Specials::kParse;
};

class Tokenizer {
 public:
  /// Errors: kInvalidFile, naming what of the vocabulary is wrong; kUnsupported, naming a model or
  /// pre-tokenizer that is not known.
  static Result<std::shared_ptr<const Tokenizer>> from_gguf(const GgufVocabulary& vocabulary);
  /// Reads a Hugging Face tokenizer.json (its bytes). Errors: kInvalidFile.
  static Result<std::shared_ptr<const Tokenizer>> from_json(std::string_view json,
                                                            const TokenizerConfig& config = {});
  ~Tokenizer();

  /// Returns the ids of `text`. `add_special` puts BOS and EOS where the model's file asks for it.
  /// Of more than `tokens_max` tokens the last may be missing, but more than `tokens_max` come:
  /// what is too long anyway is not read to its end. Errors: kUnsupported, if it needs too much
  /// memory.
  Result<std::vector<Token>> encode(std::string_view text, bool add_special, Specials specials,
                                    size_t tokens_max = SIZE_MAX) const;
  /// Returns the ids of pieces that follow each other, as if joined; a special token never forms
  /// inside or across a kText piece.
  Result<std::vector<Token>> encode(const std::vector<Span>& spans, bool add_special,
                                    size_t tokens_max = SIZE_MAX) const;
  /// Returns the most bytes of a text that one token stands for; 0: any number, as the tokenizer
  /// drops or joins text. Cost: reads the whole vocabulary.
  size_t bytes_per_token_max() const;

  /// Returns the bytes of one token (not necessarily whole UTF-8). Control tokens give their text
  /// if `special`, else nothing.
  std::string token_bytes(Token token, bool special) const;
  /// Returns the token whose exact text this is, e.g. "<|im_end|>".
  std::optional<Token> token_of(std::string_view text) const;
  bool is_control(Token token) const;
  /// Returns whether a token stands for a mark, not for its text: a control token, or one of
  /// visible text that is written "<|...|>". In a grammar it is named by its number and is no part
  /// of any text.
  bool is_mark(Token token) const;
  int vocab_size() const;
  std::optional<Token> bos() const;
  std::optional<Token> eos() const;
  /// Returns whether encode(..., add_special=true) starts with BOS.
  bool adds_bos() const;
  /// Returns whether the first space of an answer is not part of it (SentencePiece's dummy prefix).
  bool strips_first_space() const;

  /// The textkit handle, for StreamDecoder and, later, grammars.
  const void* handle() const { return handle_; }

 private:
  explicit Tokenizer(void* handle) : handle_(handle) {}
  void* handle_;
};

/// Says a tokenizer.json (its bytes) of byte-pair encoding by the keys of GGUF files: an object of
/// JSON with the fields of GgufVocabulary, and `notes` for a person. The pre-tokenizer's name is
/// found by how it cuts texts, and both forms are compared by the ids that they give.
/// Errors: kInvalidFile; kUnsupported, telling what no GGUF file can say.
Result<std::string> gguf_vocabulary_of(std::string_view json, const TokenizerConfig& config);

/// Turns a stream of tokens into text: holds back bytes that are not yet a whole UTF-8 character,
/// and knows that SentencePiece strips one leading space from the start of an answer. Thread: one.
class StreamDecoder {
 public:
  /// `special`: whether control tokens appear in the text.
  StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool special);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;

  /// Returns the text that this token completes: valid UTF-8, possibly empty.
  std::string push(Token token);
  /// Returns what is still held back, invalid bytes as U+FFFD.
  std::string flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool special_;
  std::string pending_;
  bool at_start_;  // a first space is still to be stripped
};

}  // namespace pippin::text
