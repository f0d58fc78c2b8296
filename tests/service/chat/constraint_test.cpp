// Answers under a constraint, written at random, are what was asked for: in every dialect, with and
// without thinking, read back by the parser that reads a model's answers.
#include "service/chat/constraint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <ctime>
#include <optional>
#include <regex>

#include "parse/registry.h"
#include "service/chat/random_answers.h"

namespace pippin::service {
namespace {

using namespace testing_answers;  // NOLINT(google-build-using-namespace)

class EveryDialect : public testing::TestWithParam<const ToolDialect*> {
 protected:
  // Walks and reads back; at least one of the answers must come to an end.
  void check(const ConstraintSpec& spec, int calls_min, int calls_max) {
    for (const Model* model : models_for(spec.reasoning)) {
      const auto plan = plan_constraint(*model, spec);
      ASSERT_TRUE(plan.ok()) << plan.error().message;
      ASSERT_NE(*plan, nullptr);
      int ended = 0;
      for (uint32_t seed = 0; seed < 12; ++seed) {
        const std::optional<std::string> text = answer(*model, **plan, spec, seed);
        if (!text) continue;
        ++ended;
        const Read found = read(spec, *text);
        const int calls = static_cast<int>(found.calls.size());
        EXPECT_TRUE(calls >= calls_min && calls <= calls_max) << calls << " calls in " << *text;
        EXPECT_EQ(wrong_calls(spec, found), "") << *text;
        if (calls_min > 0) {
          EXPECT_EQ(found.content, "") << *text;
        }
        if (HasFailure()) return;
      }
      EXPECT_GE(ended, 6);
    }
  }

  ConstraintSpec spec(ToolChoice::Mode mode, bool strict) const {
    ConstraintSpec out;
    out.tools = tools(strict);
    out.choice.mode = mode;
    out.dialect = GetParam();
    return out;
  }
};

TEST_P(EveryDialect, RequiredCallsAreValid) {
  check(spec(ToolChoice::Mode::kRequired, true), 1, 100);
}

TEST_P(EveryDialect, ANamedToolIsCalledOnce) {
  ConstraintSpec one = spec(ToolChoice::Mode::kRequired, false);
  one.choice.names = {"get_time"};
  one.choice.parallel = false;
  check(one, 1, 1);
}

TEST_P(EveryDialect, WhatTheTemplateHasWrittenIsContinued) {
  if (GetParam()->generation_prefix.empty()) GTEST_SKIP() << "templates write nothing of its calls";
  ConstraintSpec inside = spec(ToolChoice::Mode::kRequired, true);
  inside.generation_prefix = GetParam()->generation_prefix;
  check(inside, 1, 100);
}

TEST_P(EveryDialect, StrictToolsAreHeldInFreeText) {
  check(spec(ToolChoice::Mode::kAuto, true), 0, 100);
}

TEST_P(EveryDialect, CallsWithoutMarksAreHeldToo) {
  const ConstraintSpec held = spec(ToolChoice::Mode::kAuto, true);
  int ended = 0, calls = 0;
  for (const Model* model : models_for(nullptr)) {
    const auto plan = plan_constraint(*model, held);
    ASSERT_TRUE(plan.ok()) << plan.error().message;
    for (uint32_t seed = 0; seed < 16; ++seed) {
      const std::optional<std::string> text =
          answer(*model, **plan, held, seed, unmarked_beginnings());
      if (!text) continue;
      ++ended;
      const Read found = read(held, *text);
      calls += static_cast<int>(found.calls.size());
      EXPECT_EQ(wrong_calls(held, found), "") << *text;
      if (HasFailure()) return;
    }
  }
  EXPECT_GE(ended, 8);
  EXPECT_GE(calls, 2);
}

TEST_P(EveryDialect, CallsComeBehindThinking) {
  const parse::ReasoningDialect* reasoning = parse::find_reasoning_dialect(GetParam()->name);
  if (reasoning == nullptr) reasoning = parse::find_reasoning_dialect("think");
  for (const Thinking thinking : {Thinking::kInside, Thinking::kMayOpen}) {
    ConstraintSpec thought = spec(ToolChoice::Mode::kRequired, true);
    thought.reasoning = reasoning;
    thought.thinking = thinking;
    check(thought, 1, 100);
  }
}

TEST(Constraint, AMessageOfCallsIsAddressedToItsTool) {
  ConstraintSpec spec;
  spec.tools = {{"get_time", kTime, "", true}};
  spec.choice.mode = ToolChoice::Mode::kRequired;
  spec.dialect = parse::find_tool_dialect("muse");
  spec.reasoning = parse::find_reasoning_dialect("muse");
  size_t calls = 0;
  for (const Thinking thinking : {Thinking::kNone, Thinking::kInside}) {
    spec.thinking = thinking;
    const Model& model = *models_for(spec.reasoning).front();
    const auto plan = plan_constraint(model, spec);
    ASSERT_TRUE(plan.ok()) << plan.error().message;
    for (uint32_t seed = 0; seed < 12; ++seed) {
      const std::optional<std::string> text = answer(model, **plan, spec, seed);
      if (!text) continue;
      constexpr std::string_view kHead = " to=get_time<|message|><atem:function_calls>\n";
      size_t messages = 0, at = std::string::npos;
      while ((at = text->find(kHead, at + 1)) != std::string::npos) ++messages;
      const Read found = read(spec, *text);
      EXPECT_EQ(messages, found.calls.size()) << *text;
      EXPECT_EQ(wrong_calls(spec, found) + found.content, "") << *text;
      EXPECT_EQ(text->starts_with(kHead), thinking == Thinking::kNone) << *text;
      calls += messages;
    }
  }
  EXPECT_GE(calls, 8u);
}

INSTANTIATE_TEST_SUITE_P(Dialects, EveryDialect,
                         testing::ValuesIn(parse::tool_dialects().begin(),
                                           parse::tool_dialects().end()),
                         [](const auto& row) { return std::string(row.param->name); });

class EveryReasoning : public testing::TestWithParam<const parse::ReasoningDialect*> {};

TEST_P(EveryReasoning, ContentIsHeldBehindThinking) {
  for (const Model* model : models_for(GetParam())) {
    for (const Thinking thinking : {Thinking::kInside, Thinking::kMayOpen, Thinking::kNone}) {
      ConstraintSpec spec;
      spec.format = JsonSchemaFormat{kTime};
      spec.reasoning = GetParam();
      spec.thinking = thinking;
      const auto plan = plan_constraint(*model, spec);
      ASSERT_TRUE(plan.ok()) << plan.error().message;
      int ended = 0;
      for (uint32_t seed = 0; seed < 12; ++seed) {
        const std::optional<std::string> text = answer(*model, **plan, spec, seed);
        if (!text) continue;
        ++ended;
        const Read found = read(spec, *text);
        boost::system::error_code error;
        const json::value content = json::parse(found.content, error);
        ASSERT_FALSE(error) << static_cast<int>(thinking) << ": " << *text << "\n" << found.content;
        EXPECT_EQ(misfit(json::parse(kTime), content), "") << *text;
      }
      EXPECT_GE(ended, 6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Reasoning, EveryReasoning,
                         testing::ValuesIn(parse::reasoning_dialects().begin(),
                                           parse::reasoning_dialects().end()),
                         [](const auto& row) {
                           std::string name(row.param->name);
                           std::ranges::replace_if(
                               name, [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

Result<std::shared_ptr<const ConstraintPlan>> plan_of(Format format) {
  ConstraintSpec spec;
  spec.format = std::move(format);
  return plan_constraint(plain_model(), spec);
}

std::string one_answer(Format format, uint32_t seed) {
  const auto plan = plan_of(std::move(format));
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().message);
  if (!plan.ok()) return {};
  return answer(plain_model(), **plan, {}, seed).value_or("(no end)");
}

TEST(Constraint, NothingIsHeldWhereNothingIsAsked) {
  ConstraintSpec spec;
  spec.tools = tools(false);
  spec.dialect = parse::find_tool_dialect("hermes");
  const auto plan = plan_constraint(plain_model(), spec);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(*plan, nullptr);
}

TEST(Constraint, EveryFormatIsKept) {
  for (uint32_t seed = 0; seed < 8; ++seed) {
    boost::system::error_code error;
    EXPECT_TRUE(json::parse(one_answer(JsonObjectFormat{}, seed), error).is_object());
    EXPECT_FALSE(error);
    const std::string choice = one_answer(ChoiceFormat{{"yes", "no \"way\""}}, seed);
    EXPECT_TRUE(choice == "yes" || choice == "no \"way\"") << choice;
    const std::string regex = one_answer(RegexFormat{"[ab]{3}/x"}, seed);
    EXPECT_TRUE(regex.size() == 5 && regex.ends_with("/x")) << regex;
    const std::string gbnf =
        one_answer(GrammarFormat{GrammarFormat::Syntax::kGbnf, "root ::= [xy]+ \"!\"\n"}, seed);
    EXPECT_TRUE(gbnf.ends_with("!") && gbnf.find_first_not_of("xy!") == std::string::npos) << gbnf;
    const std::string lark = one_answer(
        GrammarFormat{GrammarFormat::Syntax::kLark, "start: (\"a\" | \"b\" start \"b\")\n"}, seed);
    EXPECT_EQ(lark, std::string(lark.size() / 2, 'b') + "a" + std::string(lark.size() / 2, 'b'));
  }
}

TEST(Constraint, EveryFormatIsKeptBehindThinking) {
  const Format formats[] = {
      JsonObjectFormat{}, ChoiceFormat{{"yes", "no"}}, RegexFormat{"[ab]{3}/x"},
      GrammarFormat{GrammarFormat::Syntax::kGbnf,
                    "root ::= [xy] item\nitem ::= \"(\" item? \")\"\n"},
      GrammarFormat{GrammarFormat::Syntax::kLark, "start: \"a\" | \"b\" start \"b\"\n"}};
  for (const Format& format : formats) {
    ConstraintSpec spec;
    spec.format = format;
    spec.reasoning = parse::find_reasoning_dialect("think");
    spec.thinking = Thinking::kInside;
    const auto plan = plan_constraint(plain_model(), spec);
    ASSERT_TRUE(plan.ok()) << plan.error().message;
    const std::optional<std::string> text = answer(plain_model(), **plan, spec, 3);
    ASSERT_TRUE(text);
    EXPECT_NE(text->find("</think>"), std::string::npos);
    EXPECT_NE(read(spec, *text).content, "");
  }
}

TEST(Constraint, ErrorsNameTheFieldAndTheKeyword) {
  const auto error = [](Format format) {
    const auto plan = plan_of(std::move(format));
    return plan.ok() ? Error{} : plan.error();
  };
  const Error schema = error(JsonSchemaFormat{R"({"properties":{"a":{"not":{}}}})"});
  EXPECT_EQ(schema.code, Code::kInvalidArgument);
  EXPECT_EQ(schema.param, "response_format");
  EXPECT_EQ(
      schema.message,
      "Invalid 'response_format.properties.a.not': the schema keyword \"not\" is not supported");
  EXPECT_EQ(error(RegexFormat{"[a"}).param, "response_format");
  EXPECT_EQ(error(GrammarFormat{GrammarFormat::Syntax::kGbnf, "root ::= x"}).message,
            "Invalid 'response_format': line 1: no rule is named \"x\"");
  ConstraintSpec spec;
  spec.tools = {{"f", R"({"properties":{"a":{"uniqueItems":true}}})", "", true}};
  spec.tools[0].field = "tools[0].function.parameters";
  spec.choice.mode = ToolChoice::Mode::kRequired;
  spec.dialect = parse::find_tool_dialect("hermes");
  auto plan = plan_constraint(plain_model(), spec);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().param, "tools[0].function.parameters");
  EXPECT_EQ(plan.error().message,
            "Invalid 'tools[0].function.parameters.properties.a.uniqueItems': the schema keyword "
            "\"uniqueItems\" is not supported");
  // Of a tool that is not strict the schema is a wish.
  spec.tools[0].strict = false;
  EXPECT_TRUE(plan_constraint(plain_model(), spec).ok());
  spec.tools[0].parameters_json = R"({"type":"object","$ref":"http://example.com/x"})";
  EXPECT_TRUE(plan_constraint(plain_model(), spec).ok());
}

// A tool that takes a patch, as coding agents offer it.
constexpr const char* kPatch =
    "start: \"*** Begin\" LF line+ \"*** End\" LF?\n"
    "line: (\"+\" | \"-\") /[^\\n<]{0,6}/ LF -> line\n"
    "%import common.LF\n";

TEST_P(EveryDialect, AToolsOwnGrammarHoldsItsInput) {
  ConstraintSpec patch = spec(ToolChoice::Mode::kRequired, true);
  patch.tools = {{"apply_patch",
                  R"({"type":"object","properties":{"input":{"type":"string"}},)"
                  R"("required":["input"],"additionalProperties":false})",
                  "", true, kPatch}};
  patch.choice.parallel = false;
  const auto plan = plan_constraint(plain_model(), patch);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  const std::regex form("\\*\\*\\* Begin\n([+-][^\n<]*\n)+\\*\\*\\* End\n?");
  int ended = 0;
  for (uint32_t seed = 0; seed < 8; ++seed) {
    const std::optional<std::string> text = answer(plain_model(), **plan, patch, seed);
    if (!text) continue;
    ++ended;
    const Read found = read(patch, *text);
    ASSERT_EQ(found.calls.size(), 1u) << *text;
    EXPECT_EQ(wrong_calls(patch, found), "") << *text;
    const std::string input(json::parse(found.calls[0].arguments).at("input").as_string());
    EXPECT_TRUE(std::regex_match(input, form)) << input << "\nof " << *text;
  }
  EXPECT_GE(ended, 4);
}

TEST(Constraint, AGrammarThatHasNoFormInJsonIsRefused) {
  ConstraintSpec spec;
  spec.tools = {{"f", "", "", true, "start: /a/ & ~/b/\n"}};
  spec.choice.mode = ToolChoice::Mode::kRequired;
  spec.dialect = parse::find_tool_dialect("hermes");
  const auto plan = plan_constraint(plain_model(), spec);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().param, "tools");
  EXPECT_TRUE(plan.error().message.starts_with("Invalid 'tools': line 1: "))
      << plan.error().message;
}

TEST(Constraint, HostileGrammarsAreRefusedInTime) {
  std::string nested(200000, '('), chain = "start: r0\n",
                                   refs = R"({"$ref":"#/$defs/d0","$defs":{)";
  for (int i = 0; i < 2000; ++i) chain += fmt::format("r{}: \"a\" r{}\n", i, i + 1);
  for (int i = 0; i < 4000; ++i)
    refs +=
        fmt::format(R"("d{}":{{"anyOf":[{{"$ref":"#/$defs/d{}"}},{{"type":"null"}}]}},)", i, i + 1);
  refs += R"("d4000":{"type":"null"}}})";
  const Format formats[] = {
      RegexFormat{"((((a{100}){100}){100}){100})"},
      RegexFormat{nested},
      GrammarFormat{GrammarFormat::Syntax::kLark, "start: " + nested},
      GrammarFormat{GrammarFormat::Syntax::kLark, chain},
      GrammarFormat{GrammarFormat::Syntax::kGbnf, "root ::= " + nested},
      GrammarFormat{GrammarFormat::Syntax::kLark, std::string(3 << 20, ' ')},
      JsonSchemaFormat{refs},
      JsonSchemaFormat{
          R"({"type":"array","items":{"type":"string","maxLength":1000000000},"minItems":1000000000})"},
      JsonSchemaFormat{std::string(100000, '[')},
  };
  for (const Format& format : formats) {
    const std::clock_t begin = std::clock();  // of the CPU: others may be busy
    const auto plan = plan_of(format);
    EXPECT_LT((std::clock() - begin) / CLOCKS_PER_SEC, 20)
        << format.index() << (plan.ok() ? "" : plan.error().message);
    if (plan.ok()) continue;
    EXPECT_NE(plan.error().code, Code::kInternal) << plan.error().message;
  }
}

}  // namespace
}  // namespace pippin::service
