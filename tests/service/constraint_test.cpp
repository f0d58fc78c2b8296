// Answers under a constraint, written at random, are what was asked for: in every dialect, with and
// without thinking, read back by the parser that reads a model's answers.
#include "service/constraint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <ctime>
#include <deque>
#include <optional>
#include <random>
#include <regex>
#include <set>

#include "parse/answer_parser.h"
#include "parse/registry.h"
#include "text/grammar_walk.h"
#include "text/small_vocabulary.h"

namespace pippin::service {
namespace {

namespace json = boost::json;
using parse::ToolDialect;
using Thinking = ConstraintSpec::Thinking;

constexpr const char* kWeather = R"({"type":"object","properties":{
  "city":{"type":"string","maxLength":12},
  "unit":{"type":"string","enum":["celsius","kelvin"]},
  "days":{"type":"integer","minimum":1,"maximum":14},
  "exact":{"type":"boolean"},
  "hours":{"type":"array","items":{"type":"integer"},"maxItems":2},
  "place":{"type":"object","properties":{"x":{"type":"number","minimum":0,"maximum":9}},
    "required":["x"],"additionalProperties":false},
  "note":{"type":["string","null"]}},
  "required":["city","days","exact"],"additionalProperties":false})";
constexpr const char* kTime = R"({"type":"object","properties":{"zone":{"type":"string"}},
  "required":["zone"],"additionalProperties":false})";

std::vector<Tool> tools(bool strict) {
  return {{"get_weather", kWeather, "", strict},
          {"get_time", kTime, "", strict},
          {"now", "", "", false}};
}

// Every text between angle or square bars that a dialect writes, as vocabularies have them.
std::vector<std::string> control_texts() {
  std::set<std::string> all;
  const auto add = [&](std::string_view text) {
    for (size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at + 1)) {
      const size_t end = text.find('>', at);
      if (end == std::string_view::npos) break;
      const std::string_view mark = text.substr(at, end - at + 1);
      const bool special =
          mark.starts_with("<|") || mark.ends_with("|>") || mark.starts_with("<｜");
      if (special && mark.find("DSML") == std::string_view::npos) all.emplace(mark);
    }
  };
  for (const ToolDialect* dialect : parse::tool_dialects()) {
    for (const std::string_view text : dialect->openers) add(text);
    for (const std::string_view text : dialect->closers) add(text);
    const parse::Envelope& envelope = dialect->envelope;
    for (const std::string_view text : {envelope.section_begin, envelope.prefix, envelope.infix,
                                        envelope.suffix, envelope.section_end, envelope.quote})
      add(text);
  }
  for (const parse::ReasoningDialect* dialect : parse::reasoning_dialects())
    for (const parse::Mark& mark : dialect->marks) {
      add(mark.text);
      add(mark.until);
    }
  return {all.begin(), all.end()};
}

Model make_model(bool with_controls) {
  Model model;
  model.tokenizer =
      text::small_tokenizer(with_controls ? control_texts() : std::vector<std::string>());
  model.stop_tokens = {256};
  model.grammar_vocabulary =
      std::make_shared<text::GrammarVocabulary>(model.tokenizer, model.stop_tokens);
  return model;
}

const Model& plain_model() {
  static const Model model = make_model(false);
  return model;
}
const Model& control_model() {
  static const Model model = make_model(true);
  return model;
}

// Marks that count anywhere can only be control tokens: as text they would end a string.
std::vector<const Model*> models_for(const parse::ReasoningDialect* reasoning) {
  if (reasoning != nullptr && reasoning->anywhere) return {&control_model()};
  return {&plain_model(), &control_model()};
}

// Checks what of a schema the tests use; returns what is wrong.
std::string misfit(const json::value& schema, const json::value& value) {
  const json::object& rules = schema.as_object();
  const auto is = [&](std::string_view type) {
    if (type == "string") return value.is_string();
    if (type == "integer") return value.is_int64() || value.is_uint64();
    if (type == "number") return value.is_number();
    if (type == "boolean") return value.is_bool();
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    return value.is_null();
  };
  if (const json::value* type = rules.if_contains("type")) {
    bool fits = false;
    if (type->is_array())
      for (const json::value& one : type->as_array())
        fits = fits || is(std::string_view(one.as_string()));
    else
      fits = is(std::string_view(type->as_string()));
    if (!fits) return "type of " + json::serialize(value);
  }
  if (const json::value* values = rules.if_contains("enum")) {
    bool any = false;
    for (const json::value& one : values->as_array()) any = any || one == value;
    if (!any) return "enum of " + json::serialize(value);
  }
  if (const json::value* most = rules.if_contains("maxLength")) {
    int64_t characters = 0;
    for (const char c : value.as_string()) characters += (c & 0xC0) != 0x80 ? 1 : 0;
    if (characters > most->as_int64()) return "maxLength of " + json::serialize(value);
  }
  if (const json::value* least = rules.if_contains("minimum");
      least != nullptr && value.to_number<double>() < least->to_number<double>())
    return "minimum of " + json::serialize(value);
  if (const json::value* most = rules.if_contains("maximum");
      most != nullptr && value.to_number<double>() > most->to_number<double>())
    return "maximum of " + json::serialize(value);
  if (value.is_array() && rules.contains("items"))
    for (const json::value& item : value.as_array())
      if (std::string wrong = misfit(rules.at("items"), item); !wrong.empty()) return wrong;
  if (!value.is_object()) return {};
  if (const json::value* required = rules.if_contains("required"))
    for (const json::value& name : required->as_array())
      if (!value.as_object().contains(name.as_string())) return "no " + json::serialize(name);
  for (const auto& [name, member] : value.as_object()) {
    const json::value* properties = rules.if_contains("properties");
    const json::value* property =
        properties != nullptr ? properties->as_object().if_contains(name) : nullptr;
    if (property == nullptr && rules.contains("additionalProperties"))
      return "an additional " + std::string(name);
    if (property != nullptr)
      if (std::string wrong = misfit(*property, member); !wrong.empty()) return wrong;
  }
  return {};
}

struct Call {
  std::string name, arguments;
  bool complete = false;
};
struct Read {
  std::string reasoning, content;
  std::vector<Call> calls;
  std::string malformed;
};

Read read(const ConstraintSpec& spec, const std::string& text) {
  parse::AnswerOptions options;
  options.tools = spec.dialect;
  options.reasoning = spec.reasoning;
  for (const Tool& tool : spec.tools)
    options.offered.push_back({tool.name, tool.parameters_json, tool.strict});
  options.starts_inside = spec.thinking == Thinking::kInside;
  options.primed = spec.primed;
  parse::AnswerParser parser(options);
  parse::Events events;
  parser.push(text, events);
  parser.finish(events);
  Read out;
  for (const parse::Event& event : events) {
    if (const auto* e = std::get_if<parse::ReasoningText>(&event)) out.reasoning += e->text;
    if (const auto* e = std::get_if<parse::ContentText>(&event)) out.content += e->text;
    if (const auto* e = std::get_if<parse::ToolCallBegin>(&event))
      out.calls.push_back({e->name, "", false});
    if (const auto* e = std::get_if<parse::ToolCallArguments>(&event))
      out.calls.back().arguments += e->json;
    if (const auto* e = std::get_if<parse::ToolCallEnd>(&event))
      out.calls.back().complete = e->complete;
    if (const auto* e = std::get_if<parse::Malformed>(&event)) out.malformed = e->what;
  }
  return out;
}

// Returns what is wrong with the calls of an answer; "" if nothing is.
std::string wrong_calls(const ConstraintSpec& spec, const Read& read, bool any_tool = false) {
  for (const Call& call : read.calls) {
    if (!call.complete) return "an incomplete call of " + call.name;
    boost::system::error_code error;
    const json::value arguments = json::parse(call.arguments, error);
    // A number of any size is JSON.
    if (error == json::error::exponent_overflow) continue;
    if (error || !arguments.is_object()) return "arguments " + call.arguments;
    const auto tool =
        std::ranges::find_if(spec.tools, [&](const Tool& one) { return one.name == call.name; });
    if (tool == spec.tools.end()) return "a call of " + call.name;
    const auto& names = spec.choice.names;
    if (!any_tool && !names.empty() && std::ranges::find(names, call.name) == names.end())
      return "a call of " + call.name + ", which was not named";
    if (tool->parameters_json.empty()) continue;
    const std::string wrong = misfit(json::parse(tool->parameters_json), arguments);
    if (!wrong.empty()) return wrong + " in " + call.arguments;
  }
  return {};
}

// Texts that a model would write but chance does not: what ends thinking, values and calls.
std::vector<std::string> wanted_texts(const ConstraintSpec& spec) {
  std::vector<std::string> texts;
  if (spec.reasoning != nullptr)
    for (const parse::Mark& mark : spec.reasoning->marks)
      if (mark.turn == parse::Mark::Turn::kClose && !mark.text.empty())
        texts.push_back(std::string(mark.text) + std::string(mark.until));
  if (spec.dialect == nullptr) return texts;
  const parse::Envelope& envelope = spec.dialect->envelope;
  texts.push_back(std::string(envelope.section_begin) + std::string(envelope.prefix));
  if (envelope.form == parse::ArgumentForm::kGemma) texts.emplace_back(envelope.quote);
  if (envelope.tags == nullptr) return texts;
  for (const char* name : {"city", "zone", "note"})
    texts.push_back(std::string(envelope.tags->value_close) +
                    (envelope.tags->nested ? std::string(name) + ">" : ""));
  return texts;
}

// Writes an answer at random: nothing (and a failure) if the constraint contradicts itself.
class Writer {
 public:
  Writer(const Model& model, const ConstraintPlan& plan, std::vector<std::string> wanted,
         uint32_t seed)
      : model_(model), constraint_(plan.start()), wanted_(std::move(wanted)), random_(seed) {}

  std::optional<std::string> write() {
    for (int tokens = 0; tokens < 3000; ++tokens) {
      const std::vector<engine::Token> forced = constraint_->forced();
      if (!forced.empty()) queue_.clear();
      if (!take(forced)) return std::nullopt;
      if (constraint_->complete()) return text_;
      if (const auto filled = constraint_->fill_mask(mask_); !filled.ok()) {
        ADD_FAILURE() << filled.error().message << " behind " << text_;
        return std::nullopt;
      }
      const engine::Token token = next(tokens > 80);
      if (token == kEnd) return text_;
      if (!take({token})) return std::nullopt;
    }
    return std::nullopt;
  }

 private:
  static constexpr engine::Token kEnd = 256;

  bool take(const std::vector<engine::Token>& tokens) {
    for (const engine::Token token : tokens) text_ += model_.tokenizer->token_bytes(token, true);
    const Result<void> accepted = constraint_->accept(tokens);
    if (!accepted.ok()) ADD_FAILURE() << accepted.error().message << " behind " << text_;
    return accepted.ok();
  }

  engine::Token next(bool end_soon) {
    if (queue_.empty() && !wanted_.empty() && random_() % 8 == 0) {
      const std::string& text = wanted_[random_() % wanted_.size()];
      const auto tokens = model_.tokenizer->encode(text, false, text::Specials::kParse);
      queue_.assign(tokens->begin(), tokens->end());
    }
    if (!queue_.empty() && text::walking::allows(mask_, queue_.front())) {
      const engine::Token token = queue_.front();
      queue_.pop_front();
      return token;
    }
    queue_.clear();
    return text::walking::choose(mask_, *model_.grammar_vocabulary, end_soon, random_);
  }

  const Model& model_;
  const std::shared_ptr<engine::Constraint> constraint_;
  const std::vector<std::string> wanted_;
  std::mt19937 random_;
  std::vector<uint32_t> mask_;
  std::deque<engine::Token> queue_;
  std::string text_;
};

std::optional<std::string> answer(const Model& model, const ConstraintPlan& plan,
                                  const ConstraintSpec& spec, uint32_t seed,
                                  const std::vector<std::string>& also_wanted = {}) {
  std::vector<std::string> wanted = wanted_texts(spec);
  wanted.insert(wanted.end(), also_wanted.begin(), also_wanted.end());
  return Writer(model, plan, std::move(wanted), seed).write();
}

// Calls without marks, up to their arguments, as models write them that forget their dialect.
const std::vector<std::string>& unmarked_beginnings() {
  static const std::vector<std::string> texts = {
      "\n```json\n{\"name\": \"get_weather\", \"arguments\": ",
      "\n{\"name\":\"get_time\",\"arguments\":",
      "\n[{\"name\": \"get_time\", \"parameters\": ",
      "\n{\"name\": \"get_weather\", \"arguments\": \"{\\\"city\\\": 1}\"}\n",
      "\n{\"arguments\": {\"city\": 1}, \"name\": \"get_weather\"}\n",
      "\n[get_weather(",
      "\n```\nget_time(",
  };
  return texts;
}

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
  if (GetParam()->primed.empty()) GTEST_SKIP() << "templates write nothing of its calls";
  ConstraintSpec primed = spec(ToolChoice::Mode::kRequired, true);
  primed.primed = GetParam()->primed;
  check(primed, 1, 100);
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
