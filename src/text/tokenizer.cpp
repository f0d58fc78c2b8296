#include "text/tokenizer.h"

#include "base/check.h"
#include "text/textkit_support.h"

namespace pippin::text {
namespace {

using textkit::Buffer;
using textkit::slice;

const tk_tokenizer* rust(const void* handle) { return static_cast<const tk_tokenizer*>(handle); }

std::vector<tk_slice> slices(const std::vector<std::string>& texts) {
  std::vector<tk_slice> result;
  result.reserve(texts.size());
  for (const std::string& text : texts) result.push_back(slice(text));
  return result;
}

int64_t id(std::optional<Token> token) { return token ? *token : -1; }

int8_t flag(std::optional<bool> value) { return value ? static_cast<int8_t>(*value) : int8_t{-1}; }

tk_tokenizer_config slices(const TokenizerConfig& config) {
  return {slice(config.bos), slice(config.eos), flag(config.add_bos), flag(config.add_eos),
          config.size};
}

std::optional<Token> token(int64_t number) {
  if (number < 0) return std::nullopt;
  return static_cast<Token>(number);
}

Result<std::vector<Token>> encode_spans(const void* handle, const std::vector<tk_span>& spans,
                                        bool add_special, size_t tokens_max) {
  tk_ids ids{};
  Buffer error;
  const tk_status status = tk_tokenizer_encode(rust(handle), spans.data(), spans.size(),
                                               add_special, tokens_max, &ids, error.out());
  if (status != TK_OK) return textkit::error_of(status, error, Code::kInvalidArgument);
  std::vector<Token> tokens(ids.data, ids.data + ids.len);
  tk_ids_free(ids);
  return tokens;
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_gguf(const GgufVocabulary& vocabulary) {
  for (std::optional<Token> given :
       {vocabulary.bos, vocabulary.eos, vocabulary.unk, vocabulary.sep}) {
    if (given && *given < 0) {
      return fail(Code::kInvalidFile,
                  "[text] tokenizer.ggml.*_token_id: expected an id, got a negative number");
    }
  }
  const std::vector<tk_slice> tokens = slices(vocabulary.tokens);
  const std::vector<tk_slice> merges = slices(vocabulary.merges);
  tk_gguf_vocabulary given{};
  given.model = slice(vocabulary.model);
  given.pre = slice(vocabulary.pre);
  given.tokens = tokens.data();
  given.token_count = tokens.size();
  given.scores = vocabulary.scores.data();
  given.score_count = vocabulary.scores.size();
  given.token_types = vocabulary.token_types.data();
  given.token_type_count = vocabulary.token_types.size();
  given.merges = merges.data();
  given.merge_count = merges.size();
  given.precompiled_charsmap = slice(vocabulary.precompiled_charsmap);
  given.bos = id(vocabulary.bos);
  given.eos = id(vocabulary.eos);
  given.unknown = id(vocabulary.unk);
  given.separator = id(vocabulary.sep);
  given.add_bos = flag(vocabulary.add_bos);
  given.add_eos = flag(vocabulary.add_eos);
  given.add_space_prefix = flag(vocabulary.add_space_prefix);
  given.remove_extra_whitespaces = flag(vocabulary.remove_extra_whitespaces);
  given.lowercase = flag(vocabulary.lowercase);
  given.strip_accents = flag(vocabulary.strip_accents);

  tk_tokenizer* handle = nullptr;
  Buffer error;
  const tk_status status = tk_tokenizer_from_gguf(&given, &handle, error.out());
  if (status != TK_OK) return textkit::error_of(status, error, Code::kInvalidFile);
  return std::shared_ptr<const Tokenizer>(new Tokenizer(handle));
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_json(std::string_view json,
                                                              const TokenizerConfig& config) {
  const tk_tokenizer_config given = slices(config);
  tk_tokenizer* handle = nullptr;
  Buffer error;
  const tk_status status = tk_tokenizer_from_json(slice(json), &given, &handle, error.out());
  if (status != TK_OK) return textkit::error_of(status, error, Code::kInvalidFile);
  return std::shared_ptr<const Tokenizer>(new Tokenizer(handle));
}

Result<std::string> gguf_vocabulary_of(std::string_view json, const TokenizerConfig& config) {
  const tk_tokenizer_config given = slices(config);
  Buffer vocabulary, error;
  const tk_status status =
      tk_tokenizer_gguf_of_json(slice(json), &given, vocabulary.out(), error.out());
  if (status != TK_OK) return textkit::error_of(status, error, Code::kInvalidFile);
  return std::string(vocabulary.view());
}

Tokenizer::~Tokenizer() { tk_tokenizer_free(static_cast<tk_tokenizer*>(handle_)); }

Result<std::vector<Token>> Tokenizer::encode(std::string_view text, bool add_special,
                                             Specials specials, size_t tokens_max) const {
  return encode_spans(handle_, {{slice(text), specials == Specials::kText}}, add_special,
                      tokens_max);
}

Result<std::vector<Token>> Tokenizer::encode(const std::vector<Span>& spans, bool add_special,
                                             size_t tokens_max) const {
  std::vector<tk_span> given;
  given.reserve(spans.size());
  for (const Span& span : spans)
    given.push_back({slice(span.text), span.specials == Specials::kText});
  return encode_spans(handle_, given, add_special, tokens_max);
}

size_t Tokenizer::bytes_per_token_max() const {
  return tk_tokenizer_bytes_per_token_max(rust(handle_));
}

std::string Tokenizer::token_bytes(Token token, bool special) const {
  if (token < 0) return {};
  const Buffer bytes(
      tk_tokenizer_token_bytes(rust(handle_), static_cast<uint32_t>(token), special));
  return std::string(bytes.view());
}

std::optional<Token> Tokenizer::token_of(std::string_view text) const {
  return token(tk_tokenizer_token_of(rust(handle_), slice(text)));
}

bool Tokenizer::is_mark(Token token) const {
  return token >= 0 && tk_tokenizer_is_mark(rust(handle_), static_cast<uint32_t>(token));
}
bool Tokenizer::is_control(Token token) const {
  return token >= 0 && tk_tokenizer_is_control(rust(handle_), static_cast<uint32_t>(token));
}

int Tokenizer::vocab_size() const {
  return static_cast<int>(tk_tokenizer_vocab_size(rust(handle_)));
}
std::optional<Token> Tokenizer::bos() const { return token(tk_tokenizer_bos(rust(handle_))); }
std::optional<Token> Tokenizer::eos() const { return token(tk_tokenizer_eos(rust(handle_))); }
bool Tokenizer::adds_bos() const { return tk_tokenizer_adds_bos(rust(handle_)); }
bool Tokenizer::strips_first_space() const {
  return tk_tokenizer_strips_first_space(rust(handle_));
}

}  // namespace pippin::text
