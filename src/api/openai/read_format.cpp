#include "api/openai/read_format.h"

#include <fmt/format.h>

#include <string>

#include "service/json.h"

namespace pippin::api::openai {
namespace {

using service::Format;
using service::GrammarFormat;

constexpr size_t kChoicesMax = 1024;
constexpr size_t kNameMax = 64;

// Sets the format unless there is one already.
void set(FieldReader& reader, std::string_view name, service::Request& to, Format format) {
  if (!std::holds_alternative<std::monostate>(to.format)) {
    return reader.wrong(name, fmt::format("Invalid '{}': the answer's format is given twice.",
                                          reader.path_of(name)));
  }
  to.format = std::move(format);
  to.format_field = reader.path_of(name);
}

std::string json_text(const boost::json::value& value) {
  std::string out;
  service::JsonWriter(out).value(value);
  return out;
}

// A schema: an object, true or false; or a text that holds one, as vLLM takes it.
std::optional<Format> read_schema(FieldReader& reader, std::string_view name) {
  const boost::json::value* value = reader.any(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_object() || value->is_bool()) return service::JsonSchemaFormat{json_text(*value)};
  const boost::json::string* text = value->if_string();
  if (text == nullptr) {
    reader.wrong_type(name, "an object", *value);
    return std::nullopt;
  }
  const Result<boost::json::value> parsed = service::parse_json(*text);
  if (parsed.ok() && (parsed->is_object() || parsed->is_bool()))
    return service::JsonSchemaFormat{json_text(*parsed)};
  reader.wrong(name,
               fmt::format("Invalid '{}': the text is no JSON Schema.", reader.path_of(name)));
  return std::nullopt;
}

std::optional<Format> read_regex(FieldReader& reader, std::string_view name) {
  const std::optional<std::string_view> pattern = reader.string(name);
  if (!pattern || pattern->empty()) return std::nullopt;
  return service::RegexFormat{std::string(*pattern)};
}

std::optional<Format> read_choice(FieldReader& reader, std::string_view name) {
  const boost::json::array* list = reader.array(name);
  if (list == nullptr) return std::nullopt;
  service::ChoiceFormat format;
  if (list->empty() || list->size() > kChoicesMax) {
    reader.wrong(name, fmt::format("Invalid '{}': 1 to {} texts were expected.",
                                   reader.path_of(name), kChoicesMax));
    return std::nullopt;
  }
  for (size_t i = 0; i < list->size(); ++i) {
    const boost::json::string* text = (*list)[i].if_string();
    if (text == nullptr) {
      reader.wrong_type(fmt::format("{}[{}]", name, i), "a string", (*list)[i]);
      return std::nullopt;
    }
    format.choices.emplace_back(text->data(), text->size());
  }
  return format;
}

// GBNF's rules have "::=", Lark's have ":".
GrammarFormat::Syntax syntax_of(std::string_view grammar) {
  return grammar.find("::=") != std::string_view::npos ? GrammarFormat::Syntax::kGbnf
                                                       : GrammarFormat::Syntax::kLark;
}

std::optional<Format> read_json_object(FieldReader& reader, std::string_view name) {
  if (!reader.boolean(name).value_or(false)) return std::nullopt;
  return service::JsonObjectFormat{};
}

struct Guide {
  std::string_view name;
  std::optional<Format> (*read)(FieldReader& reader, std::string_view name);
};
constexpr Guide kGuides[] = {
    {"json_schema", read_schema}, {"guided_json", read_schema},
    {"regex", read_regex},        {"guided_regex", read_regex},
    {"choice", read_choice},      {"guided_choice", read_choice},
    {"grammar", read_grammar},    {"guided_grammar", read_grammar},
    {"ebnf", read_grammar},       {"guided_json_object", read_json_object},
};
// Of "structured_outputs".
constexpr Guide kOutputs[] = {
    {"json", read_schema},
    {"regex", read_regex},
    {"choice", read_choice},
    {"grammar", read_grammar},
    {"json_object", read_json_object},
};

void read_json_schema(FieldReader& format, service::Request& to) {
  const boost::json::object* object = format.required_object("json_schema");
  if (object == nullptr) return;
  FieldReader fields(*object, format.path_of("json_schema"), format);
  const std::optional<Format> schema = read_named_schema(fields);
  if (schema) return set(fields, "schema", to, *schema);
  set(format, "json_schema", to, service::JsonObjectFormat{});
}

}  // namespace

std::optional<Format> read_named_schema(FieldReader& fields) {
  const std::optional<std::string_view> name = fields.string("name");
  if (name && name->size() > kNameMax) {
    fields.wrong("name", fmt::format("Invalid '{}': string too long.", fields.path_of("name")),
                 "string_above_max_length");
  }
  fields.string("description");
  fields.boolean("strict");  // the schema holds either way
  return read_schema(fields, "schema");
}

std::optional<Format> read_grammar(FieldReader& reader, std::string_view name) {
  const boost::json::value* value = reader.any(name);
  if (value == nullptr) return std::nullopt;
  if (const boost::json::string* text = value->if_string()) {
    if (text->empty()) return std::nullopt;
    return GrammarFormat{syntax_of(*text), std::string(*text)};
  }
  const boost::json::object* object = reader.object(name);
  if (object == nullptr) return std::nullopt;
  FieldReader fields(*object, reader.path_of(name), reader);
  const std::optional<std::string_view> definition = fields.required_string("definition");
  const std::optional<std::string_view> syntax = fields.word("syntax", {"lark", "gbnf", "regex"});
  if (!definition) return std::nullopt;
  const std::string text(*definition);
  if (!syntax) return GrammarFormat{syntax_of(text), text};
  if (*syntax == "lark") return GrammarFormat{GrammarFormat::Syntax::kLark, text};
  if (*syntax == "gbnf") return GrammarFormat{GrammarFormat::Syntax::kGbnf, text};
  return service::RegexFormat{text};
}

void read_response_format(FieldReader& reader, service::Request& to) {
  const boost::json::object* object = reader.object("response_format");
  if (object == nullptr) return;
  FieldReader format(*object, "response_format", reader);
  if (format.any("type") == nullptr) format.missing("type");
  const std::optional<std::string_view> type =
      format.word("type", {"text", "json_object", "json_schema", "regex", "grammar"});
  if (!type || *type == "text") return;
  if (*type == "json_schema") {
    read_json_schema(format, to);
  } else if (*type == "json_object") {
    // llama-server's form of a schema.
    const std::optional<Format> schema = read_schema(format, "schema");
    set(format, schema ? "schema" : "type", to, schema.value_or(service::JsonObjectFormat{}));
  } else if (*type == "regex") {
    const std::optional<Format> regex = read_regex(format, "pattern");
    if (regex) set(format, "pattern", to, *regex);
    if (format.any("pattern") == nullptr) format.missing("pattern");
  } else {
    const std::optional<Format> grammar = read_grammar(format, "grammar");
    if (grammar) set(format, "grammar", to, *grammar);
    if (format.any("grammar") == nullptr) format.missing("grammar");
  }
}

void read_guides(FieldReader& reader, service::Request& to) {
  for (const Guide& guide : kGuides) {
    if (const std::optional<Format> format = guide.read(reader, guide.name))
      set(reader, guide.name, to, *format);
  }
  const boost::json::object* outputs = reader.object("structured_outputs");
  if (outputs == nullptr) return;
  FieldReader fields(*outputs, "structured_outputs", reader);
  for (const Guide& guide : kOutputs) {
    if (const std::optional<Format> format = guide.read(fields, guide.name))
      set(fields, guide.name, to, *format);
  }
  for (const char* other : {"structural_tag"}) {
    if (fields.any(other) != nullptr) {
      fields.wrong(other, fmt::format("Unsupported parameter: '{}'.", fields.path_of(other)),
                   "unsupported_parameter");
    }
  }
}

}  // namespace pippin::api::openai
