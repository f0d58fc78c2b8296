#include "service/chat/constraint_calls.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <optional>

#include "parse/schema.h"
#include "service/json.h"
#include "text/grammar.h"

namespace pippin::service {
namespace {

namespace json = boost::json;
using parse::ArgumentForm;
using parse::Envelope;
using parse::Kinds;

constexpr std::string_view kIndex = "{index}", kName = "{name}";
constexpr std::string_view kAnyObject = R"({"type":"object"})";

constexpr std::pair<int, std::string_view> kKindNames[] = {
    {Kinds::kString, "string"}, {Kinds::kNumber, "number"}, {Kinds::kBoolean, "boolean"},
    {Kinds::kObject, "object"}, {Kinds::kArray, "array"},   {Kinds::kNull, "null"}};

/// A property of a tool's arguments.
struct Property {
  std::string name;
  json::value schema;
  Kinds kinds;
  bool required = false;
};

/// Writes the arguments of one tool.
class Arguments {
 public:
  Arguments(LarkText& lark, const Envelope& envelope, const Tool& tool, bool loose)
      : lark_(lark), envelope_(envelope), tool_(tool), loose_(loose) {}

  Result<std::string> write() {
    if (!tool_.input_grammar.empty()) return grammar_input();
    ASSIGN_OR_RETURN(const std::string checked, check_schema());
    if (envelope_.form == ArgumentForm::kJson) return "%json " + checked + " ";
    RETURN_IF_ERROR(read_properties());
    return listed();
  }

 private:
  Error refused(std::string_view what) const {
    return fail(Code::kInvalidArgument, fmt::format("Invalid '{}': {}", tool_.field, what),
                tool_.field);
  }
  // What JSON would hold, and this form of calls cannot. `place`: inside the schema.
  Error unsupported(const std::string& place, std::string_view keyword) const {
    return fail(Code::kUnsupported,
                fmt::format("Invalid '{}{}.{}': the schema keyword \"{}\" is not supported here in "
                            "this model's form of calls",
                            tool_.field, place, keyword, keyword),
                tool_.field);
  }

  // Reads the schema, of an object; returns it with nothing in it that cannot be enforced.
  Result<std::string> check_schema() {
    const bool any = tool_.parameters_json.empty() || (loose_ && !tool_.strict);
    const std::string source(any ? kAnyObject : std::string_view(tool_.parameters_json));
    ASSIGN_OR_RETURN(schema_, parse_json(source));
    if (!schema_.is_object()) return refused("expected a schema, an object");
    if (!schema_.as_object().contains("type")) schema_.as_object()["type"] = "object";
    return text::check_schema(json::serialize(schema_), !tool_.strict, tool_.field);
  }

  // The argument "input", a text of the tool's own grammar: as it stands between tags, else in the
  // form of a JSON string, which Python reads as well.
  Result<std::string> grammar_input() {
    constexpr std::string_view kInput = "input";
    const bool plain =
        envelope_.form == ArgumentForm::kTagged || envelope_.form == ArgumentForm::kGemma;
    Result<std::string> source =
        plain ? Result<std::string>(tool_.input_grammar) : text::lark_in_json(tool_.input_grammar);
    if (!source.ok()) return refused(source.error().message);
    const std::string text = lark_.rule("%lark {\n" + *source + "\n}");
    switch (envelope_.form) {
      case ArgumentForm::kJson:
        return lark_.literal("{\"input\": \"") + text + lark_.literal("\"}");
      case ArgumentForm::kKeywords:
        return lark_.literal("input=\"") + text + lark_.literal("\"");
      case ArgumentForm::kGemma:
        return lark_.literal("{input:" + std::string(envelope_.quote)) + text +
               lark_.literal(std::string(envelope_.quote) + "}");
      case ArgumentForm::kTagged:
        break;
    }
    return tag_open(kInput) + attribute(Kinds::kString) + text + lark_.literal(tag_close(kInput));
  }

  std::string tag_open(std::string_view name) const {
    const parse::Tags& tags = *envelope_.tags;
    return lark_.literal(std::string(tags.key_open) + std::string(name) +
                         std::string(tags.key_close));
  }
  std::string tag_close(std::string_view name) const {
    const parse::Tags& tags = *envelope_.tags;
    return std::string(tags.value_close) + (tags.nested ? std::string(name) + ">" : "");
  }

  // Requires, for the forms that write properties one by one: they stand in the schema itself.
  Result<void> read_properties() {
    const json::object& schema = schema_.as_object();
    const std::string text = json::serialize(schema);
    for (const std::string_view keyword :
         {"$ref", "allOf", "anyOf", "oneOf", "patternProperties"}) {
      if (schema.contains(keyword) && tool_.strict) return unsupported("", keyword);
    }
    const json::value* properties = schema.if_contains("properties");
    if (properties == nullptr || !properties->is_object()) return {};
    for (const auto& [name, property] : properties->as_object()) {
      Property& added = properties_.emplace_back();
      added.name = name;
      added.schema = property;
      added.kinds = parse::parameter_kinds(text, name);
      if (const json::value* required = schema.if_contains("required");
          required != nullptr && required->is_array())
        for (const json::value& item : required->as_array())
          added.required = added.required || (item.is_string() && item.as_string() == name);
    }
    return {};
  }

  // The properties in their order, each that is not required or not. `rest[i]` is what may follow
  // before property i with something before it, `begin[i]` without.
  Result<std::string> listed() {
    const std::string separator = envelope_.form == ArgumentForm::kTagged     ? ""
                                  : envelope_.form == ArgumentForm::kKeywords ? "\", \" "
                                                                              : "\",\" ";
    std::string rest, begin;
    for (size_t i = properties_.size(); i-- > 0;) {
      const Property& property = properties_[i];
      ASSIGN_OR_RETURN(const std::string written, this->property(property));
      const std::string one = lark_.rule(written);
      const std::string next_begin = one + rest, next_rest = separator + one + rest;
      begin = lark_.rule(property.required ? next_begin : lark_.one_of({next_begin, begin}));
      rest = lark_.rule(property.required ? next_rest : lark_.one_of({next_rest, rest}));
    }
    if (envelope_.form == ArgumentForm::kGemma) return "\"{\" " + begin + "\"}\" ";
    return begin;
  }

  Result<std::string> property(const Property& property) {
    switch (envelope_.form) {
      case ArgumentForm::kKeywords: {
        ASSIGN_OR_RETURN(const std::string value, python_value(property));
        return lark_.literal(property.name + "=") + value;
      }
      case ArgumentForm::kGemma: {
        ASSIGN_OR_RETURN(const std::string value, gemma_value(property));
        return lark_.literal(property.name + ":") + value;
      }
      default:
        return tagged(property);
    }
  }

  Result<std::string> python_value(const Property& property) {
    if (property.kinds.only(Kinds::kBoolean) && !has_values(property))
      return std::string(R"(("True" | "False") )");
    if (property.kinds.only(Kinds::kNull)) return std::string("\"None\" ");
    return typed(property, Kinds::kAny);
  }

  Result<std::string> gemma_value(const Property& property) {
    std::vector<std::string> ways;
    if (property.kinds.has(Kinds::kString)) {
      ASSIGN_OR_RETURN(const std::string text, text_value(property, envelope_.quote, Raw::kAny));
      ways.push_back(lark_.literal(envelope_.quote) + text);
    }
    if ((property.kinds.bits & ~Kinds::kString) != 0) {
      ASSIGN_OR_RETURN(const std::string value,
                       typed(property, property.kinds.bits & ~Kinds::kString));
      ways.push_back(value);
    }
    return lark_.one_of(ways);
  }

  Result<std::string> tagged(const Property& property) {
    const parse::Tags& tags = *envelope_.tags;
    const std::string close = tag_close(property.name);
    const bool may_be_text = property.kinds.has(Kinds::kString);
    const bool may_be_typed = (property.kinds.bits & ~Kinds::kString) != 0;
    std::vector<std::string> ways;
    if (may_be_text) {
      // Text that reads as another kind is that kind, unless an attribute says what it is.
      const bool apart = may_be_typed && tool_.strict && !tags.attributes;
      const bool lines = tags.key_close.ends_with('\n');
      ASSIGN_OR_RETURN(const std::string text, text_value(property, close,
                                                          apart   ? Raw::kUntyped
                                                          : lines ? Raw::kAny
                                                                  : Raw::kNoLineFirst));
      ways.push_back(attribute(Kinds::kString) + text);
    }
    for (const int kinds : typed_ways(property)) {
      if (may_be_text && !tool_.strict) break;
      ASSIGN_OR_RETURN(const std::string value, typed(property, kinds));
      ways.push_back(attribute(kinds) + value + lark_.literal(close));
    }
    return tag_open(property.name) + lark_.one_of(ways);
  }

  // What stands between an argument's name and its value, where it tells the value's kinds.
  std::string attribute(int kinds) const {
    const parse::Tags& tags = *envelope_.tags;
    if (!tags.attributes) return {};
    if (tags.attributes_end == ">")
      return lark_.literal(kinds == Kinds::kString ? " string=\"true\">" : " string=\"false\">");
    std::string text;
    for (const auto& [bit, name] : kKindNames)
      if (kinds == bit) text = fmt::format(" type=\"{}\"", name);
    return lark_.literal(text + std::string(tags.attributes_end));
  }

  // The kinds but string, together or, where an attribute names each, apart.
  std::vector<int> typed_ways(const Property& property) const {
    const int bits = property.kinds.bits & ~Kinds::kString;
    if (bits == 0) return {};
    if (!envelope_.tags->attributes || envelope_.tags->attributes_end == ">") return {bits};
    std::vector<int> ways;
    for (const auto& [bit, name] : kKindNames)
      if ((bits & bit) != 0) ways.push_back(bit);
    return ways;
  }

  static const json::array* values_of(const Property& property) {
    const json::object* schema = property.schema.if_object();
    const json::value* values = schema == nullptr ? nullptr : schema->if_contains("enum");
    return values == nullptr ? nullptr : values->if_array();
  }
  static bool has_values(const Property& property) {
    const json::object* schema = property.schema.if_object();
    return schema != nullptr && (schema->contains("enum") || schema->contains("const"));
  }

  /// Which texts a string outside JSON may be.
  enum class Raw : uint8_t {
    kAny,
    kNoLineFirst,  // a first line end would be taken for the tag's
    kUntyped,      // begins like no number, literal, list or object
  };

  // A string that stands as it is, up to `close`.
  Result<std::string> text_value(const Property& property, std::string_view close, Raw raw) {
    const json::object* schema = property.schema.if_object();
    std::vector<std::string> choices;
    if (const json::array* values = values_of(property)) {
      for (const json::value& value : *values)
        if (value.is_string()) choices.push_back(lark_.literal(std::string(value.as_string())));
    }
    if (schema != nullptr)
      if (const json::value* value = schema->if_contains("const");
          value != nullptr && value->is_string())
        choices = {lark_.literal(std::string(value->as_string()))};
    if (!choices.empty()) return lark_.one_of(choices) + lark_.literal(close);
    std::string terminal = terminal_without({std::string(close)});
    if (raw == Raw::kNoLineFirst) terminal += " & /([^\\n](?s:.*))?/";
    if (raw == Raw::kUntyped) terminal += " & /[^\\s0-9+\\-.\\[{\"'tfnTFN](?s:.*)/";
    ASSIGN_OR_RETURN(const std::string bounds, text_bounds(property));
    return lark_.matching_until(terminal + bounds, close);
  }

  // The rules of a string's schema as further terminals.
  Result<std::string> text_bounds(const Property& property) const {
    const json::object* schema = property.schema.if_object();
    if (schema == nullptr || !tool_.strict) return std::string();
    for (const std::string_view keyword :
         {"pattern", "format", "$ref", "allOf", "anyOf", "oneOf"}) {
      if (schema->contains(keyword)) return unsupported(".properties." + property.name, keyword);
    }
    const auto bound = [&](std::string_view keyword) -> std::optional<int64_t> {
      const json::value* value = schema->if_contains(keyword);
      if (value == nullptr || !value->is_int64()) return std::nullopt;
      return value->as_int64();
    };
    const std::optional<int64_t> least = bound("minLength"), most = bound("maxLength");
    if (!least && !most) return std::string();
    return fmt::format(" & /(?s:.{{{},{}}})/", least.value_or(0),
                       most ? std::to_string(*most) : "");
  }

  // A value of the kinds in `bits` as JSON.
  Result<std::string> typed(const Property& property, int bits) {
    json::object schema;
    if (const json::object* own = property.schema.if_object()) schema = *own;
    if (json::serialize(schema).find("\"$ref\":\"#\"") != std::string::npos)
      return refused(
          "a reference to the whole schema is not supported in this model's form of calls");
    if (bits != Kinds::kAny && bits != property.kinds.bits) {
      json::array types;
      for (const auto& [bit, name] : kKindNames)
        if ((bits & bit) != 0) types.emplace_back(name);
      schema = {{"allOf", json::array{json::object{{"type", types}}, schema}}};
    }
    for (const std::string_view keyword : {"$defs", "definitions"})
      if (const json::value* definitions = schema_.as_object().if_contains(keyword))
        schema[keyword] = *definitions;
    ASSIGN_OR_RETURN(const std::string checked,
                     text::check_schema(json::serialize(schema), !tool_.strict,
                                        tool_.field + ".properties." + property.name));
    return "%json " + checked + " ";
  }

  LarkText& lark_;
  const Envelope& envelope_;
  const Tool& tool_;
  const bool loose_;
  json::value schema_;
  std::vector<Property> properties_;
};

// A text of the envelope, `{index}` in it being any number.
std::string with_index(const LarkText& lark, std::string_view text) {
  const size_t at = text.find(kIndex);
  if (at == std::string_view::npos) return lark.literal(text);
  return lark.literal(text.substr(0, at)) + "/[0-9]{1,3}/ " +
         lark.literal(text.substr(at + kIndex.size()));
}

// A section of one call in a message to its tool.
std::string addressed(const LarkText& lark, const Envelope& envelope, const std::string& name,
                      const std::string& call) {
  std::string before(envelope.address);
  before.replace(before.find(kName), kName.size(), name);
  before.append(envelope.section_begin).append(envelope.prefix);
  return lark.literal(before) + call + lark.literal(envelope.section_end);
}

Result<void> check_name(const std::string& name) {
  constexpr std::string_view kOthers = "_-.:";
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || std::isalnum(byte) != 0 || kOthers.find(c) != std::string_view::npos)
      continue;
    return fail(Code::kInvalidArgument,
                fmt::format("the tool \"{}\": expected a name of letters, digits, _ and -", name),
                "tools");
  }
  if (name.empty()) return fail(Code::kInvalidArgument, "a tool without a name", "tools");
  return {};
}

}  // namespace

std::string calls_begin(const parse::ToolDialect& dialect) {
  const std::string begin =
      std::string(dialect.envelope.section_begin) + std::string(dialect.envelope.prefix);
  return begin.substr(0, begin.find(kIndex));
}

Result<std::string> unmarked_arguments_grammar(const text::Tokenizer& tokenizer, const Tool& tool,
                                               ArgumentForm form) {
  LarkText lark(tokenizer);
  const Envelope envelope{.form = form};
  ASSIGN_OR_RETURN(const std::string arguments, Arguments(lark, envelope, tool, false).write());
  const std::string close = form == ArgumentForm::kKeywords ? lark.literal(")") : "";
  // Few spaces, so that a model cannot go on with them for ever.
  return lark.grammar("/[ \\t\\r\\n]{1,4}/? " + lark.rule(arguments) + close +
                      "/[\\])}`,;\\s]+/? ");
}

Result<std::string> calls_grammar(LarkText& lark, const CallRules& rules, size_t skipped) {
  const Envelope& envelope = rules.dialect.envelope;
  std::vector<std::string> calls;
  for (const Tool& tool : rules.tools) {
    RETURN_IF_ERROR(check_name(tool.name));
    ASSIGN_OR_RETURN(const std::string arguments,
                     Arguments(lark, envelope, tool, rules.loose).write());
    std::string call = lark.literal(tool.name) + with_index(lark, envelope.infix) +
                       lark.rule(arguments) + with_index(lark, envelope.suffix);
    if (rules.addressed) call = addressed(lark, envelope, tool.name, call);
    calls.push_back(std::move(call));
  }
  const std::string call = lark.rule(lark.one_of(calls));
  if (rules.addressed) {
    const std::string next = "(" + lark.literal(envelope.next_address) + call + ")* ";
    return lark.rule(call + (rules.parallel ? next : ""));
  }
  // The prefix of the first call follows the section's beginning, so that what is skipped may reach
  // into it.
  const std::string begin = std::string(envelope.section_begin) + std::string(envelope.prefix);
  std::string section =
      with_index(lark, std::string_view(begin).substr(std::min(skipped, begin.size()))) + call;
  if (rules.parallel) {
    const std::string again = std::string(envelope.separator) + std::string(envelope.prefix);
    section += "(" + with_index(lark, again) + call + ")* ";
  }
  return lark.rule(section + lark.literal(envelope.section_end));
}

}  // namespace pippin::service
