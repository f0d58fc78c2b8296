// pippin_walk MODEL.gguf: reads grammars from standard input, each a line "SYNTAX SEED WALKS
// BYTES" and so many bytes and a newline, and writes a line of JSON for each: the texts of so many
// random walks and the times of compiling and of each step, or the error.
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <sstream>

#include "text/gguf_vocabulary.h"
#include "text/grammar_walk.h"

namespace {

using namespace pippin;

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

text::GrammarSyntax syntax_of(const std::string& name) {
  if (name == "regex") return text::GrammarSyntax::kRegex;
  if (name == "lark") return text::GrammarSyntax::kLark;
  if (name == "gbnf") return text::GrammarSyntax::kGbnf;
  return text::GrammarSyntax::kJsonSchema;
}

Result<std::string> answer(const std::shared_ptr<const text::GrammarVocabulary>& vocabulary,
                           text::GrammarSyntax syntax, const std::string& source, uint32_t seed,
                           int walks) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  ASSIGN_OR_RETURN(const auto grammar, text::Grammar::compile(vocabulary, syntax, source));
  const double compile_ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  std::vector<std::string> texts, steps;
  int forced = 0;
  for (int i = 0; i < walks; ++i) {
    const auto matcher = grammar->start();
    ASSIGN_OR_RETURN(const text::Walk walk,
                     text::walk(*vocabulary, *matcher, {.seed = seed + static_cast<uint32_t>(i)}));
    forced += walk.forced;
    for (const double us : walk.step_us) steps.push_back(fmt::format("{:.1f}", us));
    if (walk.finished) texts.push_back(quoted(walk.text));
  }
  return fmt::format(R"({{"compile_ms":{:.2f},"forced":{},"texts":[{}],"step_us":[{}]}})",
                     compile_ms, forced, fmt::join(texts, ","), fmt::join(steps, ","));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: pippin_walk MODEL.gguf\n"), 2;
  auto file = store::GgufFile::open(argv[1]);
  if (!file.ok()) return std::fprintf(stderr, "%s\n", file.error().message.c_str()), 1;
  auto tokenizer = text::Tokenizer::from_gguf(text::gguf_vocabulary(*file));
  if (!tokenizer.ok()) return std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str()), 1;
  std::vector<text::Token> ends;
  if (const auto eos = (*tokenizer)->eos()) ends.push_back(*eos);
  const auto vocabulary = std::make_shared<text::GrammarVocabulary>(*tokenizer, ends);
  const auto begin = std::chrono::steady_clock::now();
  if (const auto prepared = vocabulary->prepare(); !prepared.ok())
    return std::fprintf(stderr, "%s\n", prepared.error().message.c_str()), 1;
  std::fprintf(
      stderr, "vocabulary of %d tokens prepared in %.0f ms\n", (*tokenizer)->vocab_size(),
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  for (std::string header; std::getline(std::cin, header);) {
    std::istringstream fields(header);
    std::string syntax;
    uint32_t seed = 0;
    int walks = 0;
    size_t bytes = 0;
    fields >> syntax >> seed >> walks >> bytes;
    std::string source(bytes, '\0');
    std::cin.read(source.data(), static_cast<std::streamsize>(bytes)).get();
    const Result<std::string> result = answer(vocabulary, syntax_of(syntax), source, seed, walks);
    if (result.ok()) {
      std::printf("%s\n", result->c_str());
    } else {
      std::printf("{\"error\":%s,\"code\":\"%s\"}\n", quoted(result.error().message).c_str(),
                  std::string(code_name(result.error().code)).c_str());
    }
    std::fflush(stdout);
  }
}
