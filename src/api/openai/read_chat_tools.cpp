#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/openai/read_chat_parts.h"
#include "api/wire/names.h"
#include "service/json.h"

namespace pippin::api::openai {
namespace {

using service::Conversation;
using service::Tool;
using service::ToolChoice;

constexpr size_t kToolsMax = 512;
constexpr size_t kToolNameMax = 64;

void read_tool(FieldReader& reader, const std::string& name, const boost::json::value& value,
               Tool& to) {
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return reader.wrong_type(name, "an object", value);
  FieldReader tool(*object, name, reader);
  const std::optional<std::string_view> type = tool.string("type");
  if (type.value_or("function") != "function") {
    return tool.wrong(
        "type", fmt::format("Unsupported tool type '{}': only 'function' is supported.", *type),
        "unsupported_value");
  }
  const boost::json::object* inner = tool.required_object("function");
  if (inner == nullptr) return;
  FieldReader function(*inner, tool.path_of("function"), tool);
  const std::optional<std::string_view> called = function.required_string("name");
  if (!called) return;
  if (!is_tool_name(*called, kToolNameMax)) {
    return function.wrong(
        "name", fmt::format("Invalid '{}': letters, digits, '_' and '-' were expected, at most {}.",
                            function.path_of("name"), kToolNameMax));
  }
  to.name = *called;
  if (function.object("parameters") != nullptr)
    service::JsonWriter(to.parameters_json).value(*function.any("parameters"));
  function.string("description");
  to.field = function.path_of("parameters");
  to.strict = function.boolean("strict").value_or(false);
  service::JsonWriter(to.definition_json).value(value);
}

void read_tool_list(FieldReader& reader, std::vector<Tool>& to) {
  const boost::json::array* tools = reader.array("tools");
  if (tools == nullptr) return;
  if (tools->size() > kToolsMax) {
    return reader.wrong(
        "tools",
        fmt::format("Invalid 'tools': array too long. Expected at most {} tools.", kToolsMax),
        "array_above_max_length");
  }
  to.reserve(tools->size());
  for (size_t i = 0; i < tools->size() && reader.ok(); ++i) {
    Tool tool;
    const std::string name = fmt::format("tools[{}]", i);
    read_tool(reader, name, (*tools)[i], tool);
    const bool twice = std::ranges::find(to, tool.name, &Tool::name) != to.end();
    if (reader.ok() && twice) {
      reader.wrong(name + ".function.name",
                   fmt::format("Invalid 'tools': there are two tools named '{}'.", tool.name));
    }
    to.push_back(std::move(tool));
  }
}

// The name in {"type": "function", "function": {"name": ..}}, or in the flat form of others' wires.
std::string_view read_named(FieldReader& choice) {
  const std::optional<std::string_view> type = choice.required_string("type");
  if (!type) return {};
  if (*type != "function") {
    choice.wrong("type",
                 fmt::format("Unsupported value: '{}'. Supported values are: 'function' and "
                             "'allowed_tools'.",
                             *type),
                 "unsupported_value");
    return {};
  }
  if (const std::optional<std::string_view> flat = choice.string("name")) return *flat;
  const boost::json::object* inner = choice.required_object("function");
  if (inner == nullptr) return {};
  FieldReader function(*inner, choice.path_of("function"), choice);
  return function.required_string("name").value_or("");
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

void read_tools(FieldReader& reader, service::Request& request, Conversation& to) {
  ToolChoice& choice = request.tool_choice;
  const std::optional<bool> parallel = reader.boolean("parallel_tool_calls");
  read_tool_choice(reader, choice);
  if (parallel && !*parallel) choice.parallel = false;
  read_tool_list(reader, to.tools);
  check_choice(reader, choice, to.tools);
  // A model does not call what it is not shown. Where a call is forced, a grammar does the rest.
  if (choice.mode == ToolChoice::Mode::kNone) to.tools.clear();
  if (choice.mode == ToolChoice::Mode::kAuto && !choice.names.empty()) {
    std::erase_if(to.tools, [&](const Tool& tool) {
      return std::ranges::find(choice.names, tool.name) == choice.names.end();
    });
  }
}

}  // namespace pippin::api::openai
