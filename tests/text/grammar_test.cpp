// Grammars that are meant to end or lame the program: each is compiled and stepped on the stack of
// an ordinary thread, and is an error or a grammar, soon.
#include "text/grammar.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "text/grammar_walk.h"
#include "text/small_vocabulary.h"

namespace pippin::text {
namespace {

std::shared_ptr<const GrammarVocabulary> vocabulary() {
  return std::make_shared<GrammarVocabulary>(small_tokenizer({}), std::vector<Token>{256});
}

std::string repeated(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

/// `rN` refers to `r(N-1)` and so on, in one notation: `{0}` rules, joined by `is`.
std::string chain(const std::string& first, const std::string& is, size_t rules) {
  std::string all = first;
  for (size_t i = 0; i < rules; ++i)
    all += "r" + std::to_string(i) + is + "\"a\" r" + std::to_string(i + 1) + "\n";
  return all + "r" + std::to_string(rules) + is + "\"b\"\n";
}

std::string nested_schema(size_t levels) {
  return repeated(R"({"type":"object","properties":{"a":)", levels) + "{}" + repeated("}}", levels);
}

// Compiles, and walks a little way where that goes well.
void try_grammar(GrammarSyntax syntax, const std::string& source) {
  const auto words = vocabulary();
  const auto start = std::chrono::steady_clock::now();
  const auto grammar = Grammar::compile(words, syntax, source);
  if (grammar.ok()) {
    const auto matcher = (*grammar)->start();
    const auto walked = walk(*words, *matcher, {.tokens_max = 100});
    EXPECT_TRUE(walked.ok() || walked.error().code == Code::kTooLarge) << source.substr(0, 80);
  } else {
    EXPECT_NE(grammar.error().code, Code::kInternal) << source.substr(0, 80) << "\n"
                                                     << grammar.error().message;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_LT(took.count(), 20.0) << source.substr(0, 80);
}

TEST(Grammar, OutlivesHostileSources) {
  constexpr size_t kMany = 32'700;
  using enum GrammarSyntax;
  const std::pair<GrammarSyntax, std::string> hostile[] = {
      {kGbnf, "root ::= \"a\"" + std::string(kMany, '*')},
      {kGbnf, "root ::= \"a\"" + repeated("{2}", 20)},
      {kGbnf, "root ::= \"a\"{0,4294967295}"},
      {kGbnf, "root ::= (root \"a\"){0,100000} | \"b\""},
      {kGbnf, "root ::= " + std::string(kMany, '(') + "\"a\"" + std::string(kMany, ')')},
      {kGbnf, "root ::= " + repeated("\"a\" | ", kMany) + "\"b\""},
      {kGbnf, chain("root ::= r0\n", " ::= ", 20'000)},
      {kGbnf, "root ::= root root | \"a\""},
      {kLark, "start: " + std::string(kMany, '(') + "\"a\"" + std::string(kMany, ')')},
      {kLark, "start: \"a\"" + std::string(kMany, '*')},
      {kLark, "start: T\nT: " + std::string(kMany, '~') + "\"a\""},
      {kLark, chain("start: r0\n", ": ", 20'000)},
      {kLark, "start: /" + std::string(kMany, '(') + "a" + std::string(kMany, ')') + "/"},
      {kLark, "start: \"" + std::string(500'000, 'a') + "\""},
      {kRegex, std::string(kMany, '(') + "a" + std::string(kMany, ')')},
      {kRegex, repeated("(a", 240) + repeated(")*", 240)},
      {kRegex, repeated("(a?", 200) + repeated("){1,9}", 200)},
      {kRegex, std::string(500'000, 'a')},
      {kRegex, repeated("a|b|", kMany)},
      {kRegex, "(a{1,1000}){1,1000}"},
      {kJsonSchema, nested_schema(30'000)},
      {kJsonSchema, nested_schema(60)},
      {kJsonSchema, R"({"type":"array","items":{"$ref":"#"},"minItems":100000})"},
      {kJsonSchema, R"({"type":"string","minLength":1000000000})"},
  };
  for (const auto& [syntax, source] : hostile) {
    SCOPED_TRACE(source.substr(0, 60));
    std::thread([&, &what = syntax, &text = source] { try_grammar(what, text); }).join();
  }
}

TEST(Grammar, ConversionsAreBounded) {
  const std::string stars = "root ::= \"a\"" + std::string(32'700, '*');
  const auto lark = gbnf_to_lark(stars);
  ASSERT_FALSE(lark.ok());
  EXPECT_EQ(lark.error().code, Code::kInvalidArgument);
  EXPECT_EQ(lark.error().message, "line 1: repetitions are nested too deeply");
  EXPECT_EQ(
      lark_in_json("start: /" + std::string(5000, '(') + std::string(5000, ')') + "/").error().code,
      Code::kInvalidArgument);
  const std::string large(2 << 20, ' ');
  EXPECT_EQ(gbnf_to_lark(large).error().code, Code::kTooLarge);
  EXPECT_EQ(lark_in_json(large).error().code, Code::kTooLarge);
  EXPECT_EQ(check_schema(large, true, "x").error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace pippin::text
