#include "api/openai/custom_tool.h"

#include <fmt/format.h>

#include <optional>

#include "service/chat/constraint_text.h"
#include "service/json.h"

namespace pippin::api::openai {
namespace {

using service::JsonWriter;

constexpr size_t kGrammarBytesMax = 256 << 10;

// Reads {"syntax": .., "definition": ..}; returns the grammar in Lark.
std::string read_grammar(FieldReader& grammar, std::string& description) {
  if (grammar.any("syntax") == nullptr) grammar.missing("syntax");
  const std::optional<std::string_view> syntax = grammar.word("syntax", {"lark", "regex"});
  const std::optional<std::string_view> definition = grammar.required_string("definition");
  if (!syntax || !definition) return {};
  if (definition->size() > kGrammarBytesMax) {
    grammar.wrong("definition", "Invalid 'definition': the grammar is too long.",
                  "string_above_max_length");
    return {};
  }
  const bool lark = *syntax == "lark";
  description += fmt::format("\n\nThe input must match this {}:\n{}",
                             lark ? "Lark grammar" : "regular expression", *definition);
  if (lark) return std::string(*definition);
  // The whole input is matched anyway.
  std::string_view pattern = *definition;
  if (pattern.starts_with('^')) pattern.remove_prefix(1);
  if (pattern.ends_with('$') && !pattern.ends_with("\\$")) pattern.remove_suffix(1);
  return "start: " + service::lark_regex(pattern) + "\n";
}

std::string read_format(FieldReader& tool, GrammarPlace place, std::string& description) {
  const boost::json::object* object = tool.object("format");
  if (object == nullptr) return {};
  FieldReader format(*object, tool.path_of("format"), tool);
  if (format.any("type") == nullptr) format.missing("type");
  if (format.word("type", {"text", "grammar"}).value_or("text") == "text") return {};
  if (place == GrammarPlace::kFlat) return read_grammar(format, description);
  const boost::json::object* inner = format.required_object("grammar");
  if (inner == nullptr) return {};
  FieldReader grammar(*inner, format.path_of("grammar"), format);
  return read_grammar(grammar, description);
}

}  // namespace

service::Tool read_custom_tool(FieldReader& tool, GrammarPlace place, std::string& description) {
  service::Tool offered;
  offered.field = tool.path_of("format");
  offered.input_grammar = read_format(tool, place, description);
  offered.strict = !offered.input_grammar.empty();
  JsonWriter json(offered.parameters_json);
  json.begin_object().field("type", "object").key("properties").begin_object();
  json.key("input").begin_object().field("type", "string").end_object().end_object();
  json.key("required").begin_array().string("input").end_array();
  json.field("additionalProperties", false).end_object();
  return offered;
}

std::string custom_arguments(std::string_view input) {
  std::string out;
  JsonWriter(out).begin_object().field("input", input).end_object();
  return out;
}

}  // namespace pippin::api::openai
