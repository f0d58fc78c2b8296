// Any bytes as a tokenizer: those of a GGUF file, or a tokenizer.json. An error, or one that
// encodes and decodes any text, keeps its own bounds, and bears a grammar. The first line is the
// text; its first byte says what else the model's files tell.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "service/models/load_tokenizer.h"
#include "store/gguf.h"
#include "target.h"
#include "text/grammar.h"
#include "text/grammar_walk.h"

namespace {

using namespace pippin;
using text::Token;
using text::Tokenizer;

constexpr size_t kTokensMax = 3;  // what a text is encoded with a bound of

/// What a model's loader made of the files.
std::shared_ptr<const Tokenizer> load(std::string_view first_line, std::string_view file) {
  if (file.starts_with("GGUF")) {
    const auto gguf = store::GgufFile::parse(std::as_bytes(std::span(file)), "fuzz.gguf");
    if (!gguf.ok()) return nullptr;
    auto loaded = service::read_tokenizer(*gguf);
    return loaded.ok() ? loaded->tokenizer : nullptr;
  }
  const unsigned told = first_line.empty() ? 0 : fuzz::byte_at(first_line, 0);
  text::TokenizerConfig config;
  if (told & 1) config.bos = config.eos = first_line;
  if (told & 2) config.add_bos = true;
  if (told & 4) config.add_eos = true;
  if (told & 8) config.size = told;
  auto read = Tokenizer::from_json(file, config);
  return read.ok() ? *read : nullptr;
}

void decode(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<Token>& tokens) {
  text::StreamDecoder decoder(tokenizer, true);
  for (const Token token : tokens) {
    if (token < 0 || token >= tokenizer->vocab_size()) std::abort();
    static_cast<void>(decoder.push(token));
    static_cast<void>(tokenizer->token_bytes(token, false));
    static_cast<void>(tokenizer->is_mark(token));
    static_cast<void>(tokenizer->is_control(token));
  }
  static_cast<void>(decoder.flush());
}

void encode(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view words) {
  for (const text::Specials specials : {text::Specials::kParse, text::Specials::kText}) {
    const auto tokens = tokenizer->encode(words, true, specials);
    if (tokens.ok()) decode(tokenizer, *tokens);
    const auto bounded = tokenizer->encode(words, true, specials, kTokensMax);
    if (tokens.ok() && bounded.ok() && tokens->size() > kTokensMax + 1 &&
        bounded->size() <= kTokensMax)
      std::abort();
  }
  const std::string half(words.substr(0, words.size() / 2));
  const std::string rest(words.substr(words.size() / 2));
  static_cast<void>(tokenizer->encode({{half}, {rest, text::Specials::kText}, {half}}, false));
  // What a prompt's refusal by its bytes alone rests on.
  const auto plain = tokenizer->encode(words, false, text::Specials::kText);
  const size_t most = tokenizer->bytes_per_token_max();
  if (plain.ok() && most > 0 && words.size() > most * plain->size()) std::abort();
}

void write_under_a_grammar(const std::shared_ptr<const Tokenizer>& tokenizer) {
  std::vector<Token> ends;
  if (tokenizer->eos()) ends.push_back(*tokenizer->eos());
  const auto vocabulary = std::make_shared<text::GrammarVocabulary>(tokenizer, ends);
  static_cast<void>(vocabulary->reaching_past_heads());
  const auto grammar =
      text::Grammar::compile(vocabulary, text::GrammarSyntax::kRegex, "(yes|no)( [a-z]+)*");
  if (!grammar.ok()) return;
  const auto matcher = (*grammar)->start();
  static_cast<void>(text::walk(*vocabulary, *matcher, {.tokens_max = 12, .soft_max = 6}));
}

}  // namespace

void pippin::fuzz::one_input(std::string_view input) {
  const size_t line_end = std::min(input.find('\n'), input.size());
  const std::string_view words = input.substr(0, line_end);
  const auto tokenizer = load(words, input.substr(std::min(line_end + 1, input.size())));
  if (tokenizer == nullptr) return;
  if (tokenizer->bos() && *tokenizer->bos() >= tokenizer->vocab_size()) std::abort();
  if (tokenizer->eos() && *tokenizer->eos() >= tokenizer->vocab_size()) std::abort();
  static_cast<void>(tokenizer->token_of(words));
  static_cast<void>(tokenizer->token_bytes(tokenizer->vocab_size(), true));
  static_cast<void>(tokenizer->is_mark(tokenizer->vocab_size()));
  encode(tokenizer, words);
  write_under_a_grammar(tokenizer);
}
