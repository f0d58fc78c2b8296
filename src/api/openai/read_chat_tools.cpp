#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/openai/custom_tool.h"
#include "api/openai/read_chat_parts.h"
#include "api/shared/names.h"
#include "api/shared/tool_definition.h"
#include "service/json.h"

namespace pippin::api::openai {
namespace {

using service::Conversation;
using service::Tool;
using service::ToolChoice;

constexpr size_t kToolsMax = 512;
constexpr size_t kToolNameMax = 64;

std::string_view read_tool_name(FieldReader& tool) {
  const std::string_view name = tool.required_string("name").value_or("");
  if (tool.ok() && !is_tool_name(name, kToolNameMax)) {
    tool.wrong("name",
               fmt::format("Invalid '{}': letters, digits, '_' and '-' were expected, at most {}.",
                           tool.path_of("name"), kToolNameMax));
  }
  return name;
}

Tool read_function(FieldReader& function, const boost::json::value& definition) {
  Tool tool;
  tool.name = read_tool_name(function);
  if (function.object("parameters") != nullptr)
    service::JsonWriter(tool.parameters_json).value(*function.any("parameters"));
  function.string("description");
  tool.field = function.path_of("parameters");
  tool.strict = function.boolean("strict").value_or(false);
  service::JsonWriter(tool.definition_json).value(definition);
  return tool;
}

Tool read_custom(FieldReader& custom) {
  const std::string_view name = read_tool_name(custom);
  std::string description(custom.string("description").value_or(""));
  Tool tool = read_custom_tool(custom, GrammarPlace::kInner, description);
  tool.name = name;
  tool.definition_json = tool_definition(name, description, tool.parameters_json);
  return tool;
}

void read_tool(FieldReader& reader, const std::string& name, const boost::json::value& value,
               std::vector<Tool>& to, std::vector<std::string>& custom_tools) {
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return reader.wrong_type(name, "an object", value);
  FieldReader tool(*object, name, reader);
  const std::string_view type = tool.string("type").value_or("function");
  if (type != "function" && type != "custom") {
    return tool.wrong("type",
                      fmt::format("Unsupported tool type '{}': only 'function' and 'custom' are "
                                  "supported.",
                                  type),
                      "unsupported_value");
  }
  const boost::json::object* inner = tool.required_object(type);
  if (inner == nullptr) return;
  FieldReader fields(*inner, tool.path_of(type), tool);
  Tool made = type == "custom" ? read_custom(fields) : read_function(fields, value);
  if (reader.ok() && std::ranges::find(to, made.name, &Tool::name) != to.end()) {
    return fields.wrong("name",
                        fmt::format("Invalid 'tools': there are two tools named '{}'.", made.name));
  }
  if (type == "custom") custom_tools.push_back(made.name);
  to.push_back(std::move(made));
}

void read_tool_list(FieldReader& reader, std::vector<Tool>& to,
                    std::vector<std::string>& custom_tools) {
  const boost::json::array* tools = reader.array("tools");
  if (tools == nullptr) return;
  if (tools->size() > kToolsMax) {
    return reader.wrong(
        "tools",
        fmt::format("Invalid 'tools': array too long. Expected at most {} tools.", kToolsMax),
        "array_above_max_length");
  }
  to.reserve(tools->size());
  for (size_t i = 0; i < tools->size() && reader.ok(); ++i)
    read_tool(reader, fmt::format("tools[{}]", i), (*tools)[i], to, custom_tools);
}

// The name in {"type": "function", "function": {"name": ..}}, so also of custom tools, or in the
// flat form of others' APIs.
std::string_view read_named(FieldReader& choice) {
  const std::optional<std::string_view> type = choice.required_string("type");
  if (!type) return {};
  if (*type != "function" && *type != "custom") {
    choice.wrong("type",
                 fmt::format("Unsupported value: '{}'. Supported values are: 'function', 'custom' "
                             "and 'allowed_tools'.",
                             *type),
                 "unsupported_value");
    return {};
  }
  if (const std::optional<std::string_view> flat = choice.string("name")) return *flat;
  const boost::json::object* inner = choice.required_object(*type);
  if (inner == nullptr) return {};
  FieldReader fields(*inner, choice.path_of(*type), choice);
  return fields.required_string("name").value_or("");
}

void read_allowed(FieldReader& choice, ToolChoice& to) {
  const boost::json::object* inner = choice.required_object("allowed_tools");
  if (inner == nullptr) return;
  FieldReader allowed(*inner, choice.path_of("allowed_tools"), choice);
  if (allowed.any("mode") == nullptr) allowed.missing("mode");
  if (allowed.word("mode", {"auto", "required"}) == "required")
    to.mode = ToolChoice::Mode::kRequired;
  const boost::json::array* tools = allowed.required_array("tools");
  if (tools == nullptr) return;
  if (tools->empty()) {
    return allowed.wrong("tools",
                         fmt::format("Invalid '{}': empty array.", allowed.path_of("tools")),
                         "empty_array");
  }
  for (size_t i = 0; i < tools->size(); ++i) {
    const std::string name = fmt::format("tools[{}]", i);
    const boost::json::object* tool = (*tools)[i].if_object();
    if (tool == nullptr) return allowed.wrong_type(name, "an object", (*tools)[i]);
    FieldReader fields(*tool, allowed.path_of(name), allowed);
    to.names.emplace_back(read_named(fields));
  }
}

void read_tool_choice(FieldReader& reader, ToolChoice& to) {
  const boost::json::value* value = reader.any("tool_choice");
  if (value == nullptr) return;
  if (value->is_string()) {
    const auto word = reader.word("tool_choice", {"none", "auto", "required"});
    if (word == "none") to.mode = ToolChoice::Mode::kNone;
    if (word == "required") to.mode = ToolChoice::Mode::kRequired;
    return;
  }
  const boost::json::object* object = value->if_object();
  if (object == nullptr) return reader.wrong_type("tool_choice", "a string or an object", *value);
  FieldReader choice(*object, "tool_choice", reader);
  if (choice.string("type").value_or("") == "allowed_tools") return read_allowed(choice, to);
  to.mode = ToolChoice::Mode::kRequired;
  to.names.emplace_back(read_named(choice));
  to.parallel = false;  // one call of the one tool
}

// A choice must be possible.
void check_choice(FieldReader& reader, const ToolChoice& choice, const std::vector<Tool>& tools) {
  if (!reader.ok()) return;
  for (const std::string& name : choice.names) {
    if (std::ranges::find(tools, name, &Tool::name) != tools.end()) continue;
    return reader.wrong("tool_choice",
                        fmt::format("Tool choice '{}' not found in 'tools' parameter.", name));
  }
  if (choice.mode == ToolChoice::Mode::kRequired && tools.empty()) {
    reader.wrong("tool_choice", "'tool_choice' is only allowed when 'tools' are specified.");
  }
}

}  // namespace

std::vector<std::string> read_tools(FieldReader& reader, service::Request& request,
                                    Conversation& to) {
  ToolChoice& choice = request.tool_choice;
  const std::optional<bool> parallel = reader.boolean("parallel_tool_calls");
  read_tool_choice(reader, choice);
  if (parallel && !*parallel) choice.parallel = false;
  std::vector<std::string> custom_tools;
  read_tool_list(reader, to.tools, custom_tools);
  check_choice(reader, choice, to.tools);
  hide_tools(choice, to.tools);
  return custom_tools;
}

}  // namespace pippin::api::openai
