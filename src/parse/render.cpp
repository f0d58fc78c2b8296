// render_calls: earlier calls in a dialect's own text, made from its envelope.
#include "parse/json_text.h"
#include "parse/schema.h"
#include "parse/tool/rows.h"

namespace pippin::parse {
namespace {

// JSON to Python: the values keep their form but for their names.
std::string python_value(std::string_view json);
// JSON to Gemma's: bare keys, strings between quotes that need no escapes.
std::string gemma_value(std::string_view json, std::string_view quote);

template <typename Value>
std::string brackets(std::string_view json, const Value& value, const auto& key) {
  std::string out;
  for_each_member(json, [&](std::string_view name, std::string_view item) {
    out += (out.empty() ? "" : ",") + key(name) + ":" + value(item);
  });
  for_each_item(json,
                [&](std::string_view item) { out += (out.empty() ? "" : ",") + value(item); });
  return json.front() + out + (json.front() == '{' ? '}' : ']');
}

std::string python_value(std::string_view json) {
  if (json == "true") return "True";
  if (json == "false") return "False";
  if (json == "null") return "None";
  if (json.front() != '{' && json.front() != '[') return std::string(json);
  return brackets(json, python_value, quoted);
}

std::string gemma_value(std::string_view json, std::string_view quote) {
  if (json.front() == '"') return std::string(quote) + unquoted(json) + std::string(quote);
  if (json.front() != '{' && json.front() != '[') return std::string(json);
  return brackets(
      json, [&](std::string_view value) { return gemma_value(value, quote); },
      [](std::string_view name) { return std::string(name); });
}

std::string_view kind_name(std::string_view json) {
  switch (kind_of(json)) {
    case Kinds::kString:
      return "string";
    case Kinds::kNumber:
      return "number";
    case Kinds::kBoolean:
      return "boolean";
    case Kinds::kObject:
      return "object";
    case Kinds::kArray:
      return "array";
    default:
      return "null";
  }
}

// Tags within tags; `tags` tells the mark before each.
void append_nested(std::string& out, const Tags& tags, std::string_view name,
                   std::string_view json) {
  out += std::string(tags.key_open) + std::string(name) + ">";
  if (kind_of(json) == Kinds::kString) {
    out += unquoted(json);
  } else if (kind_of(json) == Kinds::kObject) {
    for_each_member(json, [&](std::string_view key, std::string_view value) {
      append_nested(out, tags, key, value);
    });
  } else if (kind_of(json) == Kinds::kArray) {
    for_each_item(json, [&](std::string_view value) { append_nested(out, tags, "item", value); });
  } else {
    out += json;
  }
  out += std::string(tags.value_close) + std::string(name) + ">";
}

std::string arguments(const Envelope& envelope, std::string_view json) {
  if (!to_json(json) || !trim(json).starts_with('{')) return std::string(json);
  std::string out;
  switch (envelope.form) {
    case ArgumentForm::kJson:
      return std::string(json);
    case ArgumentForm::kGemma:
      return gemma_value(*to_json(trim(json)), envelope.quote);
    case ArgumentForm::kKeywords:
      for_each_member(json, [&](std::string_view name, std::string_view value) {
        out += (out.empty() ? "" : ", ") + std::string(name) + "=" + python_value(value);
      });
      return out;
    case ArgumentForm::kTagged:
      break;
  }
  const Tags& tags = *envelope.tags;
  for_each_member(json, [&](std::string_view name, std::string_view value) {
    if (tags.nested) return append_nested(out, tags, name, value);
    const bool text = kind_of(value) == Kinds::kString;
    out += tags.key_open;
    out += name;
    out += tags.key_close;
    if (tags.attributes && tags.attributes_end == ">") {
      out += text ? " string=\"true\">" : " string=\"false\">";
    } else if (tags.attributes) {
      out += " type=\"" + std::string(kind_name(value)) + "\"" + std::string(tags.attributes_end);
    }
    out += text ? unquoted(value) : std::string(value);
    out += tags.value_close;
  });
  return out;
}

void append(std::string& out, std::string_view text, size_t index) {
  constexpr std::string_view kIndex = "{index}";
  const size_t at = text.find(kIndex);
  out += text.substr(0, at);
  if (at == std::string_view::npos) return;
  out += std::to_string(index);
  out += text.substr(at + kIndex.size());
}

}  // namespace

std::string render_calls(const ToolDialect& dialect, const std::vector<PastCall>& calls) {
  const Envelope& envelope = dialect.envelope;
  std::string out(calls.empty() ? "" : envelope.section_begin);
  for (size_t i = 0; i < calls.size(); ++i) {
    if (i > 0) out += envelope.separator;
    append(out, envelope.prefix, i);
    out += calls[i].name;
    append(out, envelope.infix, i);
    out += arguments(envelope, calls[i].arguments_json);
    append(out, envelope.suffix, i);
  }
  if (!calls.empty()) out += envelope.section_end;
  return out;
}

}  // namespace pippin::parse
