// Answers written at random under a constraint, and what reads and judges them: for tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "parse/answer_parser.h"
#include "parse/registry.h"
#include "service/chat/constraint.h"
#include "text/grammar_walk.h"
#include "text/small_vocabulary.h"

namespace pippin::service::testing_answers {

namespace json = boost::json;
using parse::ToolDialect;
using Thinking = ConstraintSpec::Thinking;

inline constexpr const char* kWeather = R"({"type":"object","properties":{
  "city":{"type":"string","maxLength":12},
  "unit":{"type":"string","enum":["celsius","kelvin"]},
  "days":{"type":"integer","minimum":1,"maximum":14},
  "exact":{"type":"boolean"},
  "hours":{"type":"array","items":{"type":"integer"},"maxItems":2},
  "place":{"type":"object","properties":{"x":{"type":"number","minimum":0,"maximum":9}},
    "required":["x"],"additionalProperties":false},
  "note":{"type":["string","null"]}},
  "required":["city","days","exact"],"additionalProperties":false})";
inline constexpr const char* kTime = R"({"type":"object","properties":{"zone":{"type":"string"}},
  "required":["zone"],"additionalProperties":false})";

inline std::vector<Tool> tools(bool strict) {
  return {{"get_weather", kWeather, "", strict},
          {"get_time", kTime, "", strict},
          {"now", "", "", false}};
}

// Every text between angle or square bars that a dialect writes, as vocabularies have them.
inline std::vector<std::string> control_texts() {
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
    for (const std::string_view text : dialect->start_markers) add(text);
    for (const std::string_view text : dialect->end_markers) add(text);
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

inline Model make_model(bool with_controls) {
  Model model;
  model.tokenizer =
      text::small_tokenizer(with_controls ? control_texts() : std::vector<std::string>());
  model.stop_tokens = {256};
  model.grammar_vocabulary =
      std::make_shared<text::GrammarVocabulary>(model.tokenizer, model.stop_tokens);
  return model;
}

inline const Model& plain_model() {
  static const Model model = make_model(false);
  return model;
}
inline const Model& control_model() {
  static const Model model = make_model(true);
  return model;
}

// Marks that count anywhere can only be control tokens: as text they would end a string.
inline std::vector<const Model*> models_for(const parse::ReasoningDialect* reasoning) {
  if (reasoning != nullptr && reasoning->anywhere) return {&control_model()};
  return {&plain_model(), &control_model()};
}

// Checks what of a schema the tests use; returns what is wrong.
inline std::string misfit(const json::value& schema, const json::value& value) {
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

inline Read read(const ConstraintSpec& spec, const std::string& text) {
  parse::AnswerOptions options;
  options.tools = spec.dialect;
  options.reasoning = spec.reasoning;
  for (const Tool& tool : spec.tools)
    options.offered.push_back({tool.name, tool.parameters_json, tool.strict});
  options.starts_inside = spec.thinking == Thinking::kInside;
  options.generation_prefix = spec.generation_prefix;
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
inline std::string wrong_calls(const ConstraintSpec& spec, const Read& read,
                               bool any_tool = false) {
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
inline std::vector<std::string> wanted_texts(const ConstraintSpec& spec) {
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
      const std::vector<engine::Token> forced = constraint_->jump_forward();
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

inline std::optional<std::string> answer(const Model& model, const ConstraintPlan& plan,
                                         const ConstraintSpec& spec, uint32_t seed,
                                         const std::vector<std::string>& also_wanted = {}) {
  std::vector<std::string> wanted = wanted_texts(spec);
  wanted.insert(wanted.end(), also_wanted.begin(), also_wanted.end());
  return Writer(model, plan, std::move(wanted), seed).write();
}

// Calls without marks, up to their arguments, as models write them that forget their dialect.
inline const std::vector<std::string>& unmarked_beginnings() {
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

}  // namespace pippin::service::testing_answers
