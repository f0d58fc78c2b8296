#include "api/openai/responses/read_tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "api/openai/custom_tool.h"
#include "api/shared/names.h"
#include "api/shared/tool_definition.h"
#include "service/json.h"

namespace pippin::api::openai::responses {
namespace {

using service::JsonWriter;

constexpr size_t kToolsMax = 512;
constexpr size_t kNameMax = 128;

/// Reads tools one after another into a table and the list for the template.
class ToolsReader {
 public:
  ToolsReader(ToolTable& table, std::vector<service::Tool>& offered, std::vector<Warning>& warnings)
      : table_(table), offered_(offered), warnings_(warnings) {}

  void read_all(FieldReader& parent, const boost::json::array& tools, std::string_view name_space) {
    for (size_t i = 0; i < tools.size() && parent.ok(); ++i)
      read(parent, fmt::format("tools[{}]", i), tools[i], name_space);
  }

 private:
  void read(FieldReader& parent, const std::string& path, const boost::json::value& value,
            std::string_view name_space) {
    const boost::json::object* object = value.if_object();
    if (object == nullptr) return parent.wrong_type(path, "an object", value);
    FieldReader tool(*object, parent.path_of(path), parent);
    const std::optional<std::string_view> type = tool.required_string("type");
    if (!type) return;
    if (*type == "function") return read_function(tool, name_space);
    if (*type == "custom") return read_custom(tool, name_space);
    if (*type == "namespace" && name_space.empty()) return read_namespace(tool);
    warnings_.push_back(
        {"unsupported_tool", parent.path_of(path),
         fmt::format("Tools of type '{}' cannot run here; this one is left out.", *type)});
  }

  void read_namespace(FieldReader& tool) {
    const std::optional<std::string_view> name = read_name(tool);
    const boost::json::array* inner = tool.required_array("tools");
    if (name && inner != nullptr) read_all(tool, *inner, *name);
  }

  std::optional<std::string_view> read_name(FieldReader& tool) {
    const std::optional<std::string_view> name = tool.required_string("name");
    if (name && !is_tool_name(*name, kNameMax)) {
      tool.wrong(
          "name",
          fmt::format("Invalid '{}': letters, digits, '_' and '-' were expected, at most {}.",
                      tool.path_of("name"), kNameMax));
      return std::nullopt;
    }
    return name;
  }

  void read_function(FieldReader& tool, std::string_view name_space) {
    const std::optional<std::string_view> name = read_name(tool);
    const std::string_view description = tool.string("description").value_or("");
    const boost::json::object* parameters = tool.object("parameters");
    service::Tool offered;
    offered.field = tool.path_of("parameters");
    offered.strict = tool.boolean("strict").value_or(false);
    if (!name) return;
    if (parameters != nullptr) JsonWriter(offered.parameters_json).value(*tool.any("parameters"));
    add(tool, false, *name, name_space, description, std::move(offered));
  }

  void read_custom(FieldReader& tool, std::string_view name_space) {
    const std::optional<std::string_view> name = read_name(tool);
    std::string description(tool.string("description").value_or(""));
    service::Tool offered = read_custom_tool(tool, GrammarPlace::kFlat, description);
    if (name) add(tool, true, *name, name_space, description, std::move(offered));
  }

  void add(FieldReader& tool, bool custom, std::string_view name, std::string_view name_space,
           std::string_view description, service::Tool offered) {
    if (table_.find_named(name, name_space) != nullptr) {
      return tool.wrong("name", fmt::format("Invalid '{}': there are two tools called '{}'.",
                                            tool.path_of("name"), name));
    }
    if (++count_ > kToolsMax) {
      return tool.wrong("name", fmt::format("Too many tools: at most {} were expected.", kToolsMax),
                        "array_above_max_length");
    }
    std::string shown(name);
    if (table_.find_shown(shown) != nullptr) shown = fmt::format("{}__{}", name_space, name);
    if (table_.find_shown(shown) != nullptr) {
      return tool.wrong("name", fmt::format("Invalid '{}': '{}' is the name of another tool.",
                                            tool.path_of("name"), shown));
    }
    offered.name = shown;
    offered.definition_json = tool_definition(shown, description, offered.parameters_json);
    table_.add({custom, shown, std::string(name), std::string(name_space)});
    offered_.push_back(std::move(offered));
  }

  ToolTable& table_;
  std::vector<service::Tool>& offered_;
  std::vector<Warning>& warnings_;
  size_t count_ = 0;
};

// Reads {"type": "function", "name": ..} and appends the tool's name as the model knows it.
void read_choice_tool(FieldReader& choice, const ToolTable& table, std::vector<std::string>& to) {
  const std::optional<std::string_view> type = choice.required_string("type");
  if (!type) return;
  if (*type != "function" && *type != "custom") {
    return choice.wrong("type",
                        fmt::format("Unsupported value: tools of type '{}' cannot be "
                                    "called here.",
                                    *type),
                        "unsupported_value");
  }
  const std::optional<std::string_view> name = choice.required_string("name");
  const std::string_view name_space = choice.string("namespace").value_or("");
  if (!name) return;
  const OfferedTool* tool = table.find_named(*name, name_space);
  if (tool == nullptr || tool->custom != (*type == "custom")) {
    return choice.wrong("name", fmt::format("Invalid '{}': no {} tool '{}' is in 'tools'.",
                                            choice.path_of("name"), *type, *name));
  }
  to.push_back(tool->shown);
}

void read_allowed_tools(FieldReader& choice, const ToolTable& table, service::ToolChoice& to) {
  if (choice.any("mode") == nullptr) choice.missing("mode");
  if (choice.word("mode", {"auto", "required"}) == "required")
    to.mode = service::ToolChoice::Mode::kRequired;
  const boost::json::array* tools = choice.required_array("tools");
  if (tools == nullptr) return;
  if (tools->empty())
    choice.wrong("tools", "Invalid 'tool_choice.tools': at least one tool was expected.",
                 "empty_array");
  for (size_t i = 0; i < tools->size(); ++i) {
    const std::string path = fmt::format("tools[{}]", i);
    const boost::json::object* object = (*tools)[i].if_object();
    if (object == nullptr) return choice.wrong_type(path, "an object", (*tools)[i]);
    FieldReader tool(*object, choice.path_of(path), choice);
    read_choice_tool(tool, table, to.names);
  }
}

}  // namespace

void read_tools(FieldReader& body, ToolTable& table, std::vector<service::Tool>& offered,
                std::vector<Warning>& warnings) {
  const boost::json::array* tools = body.array("tools");
  if (tools == nullptr) return;
  if (tools->size() > kToolsMax) {
    return body.wrong(
        "tools",
        fmt::format("Invalid 'tools': array too long. Expected at most {} tools.", kToolsMax),
        "array_above_max_length");
  }
  ToolsReader(table, offered, warnings).read_all(body, *tools, "");
}

service::ToolChoice read_tool_choice(FieldReader& body, const ToolTable& table) {
  using Mode = service::ToolChoice::Mode;
  service::ToolChoice to;
  to.parallel = body.boolean("parallel_tool_calls").value_or(true);
  const boost::json::value* value = body.any("tool_choice");
  if (value == nullptr) return to;
  if (value->is_string()) {
    const auto word = body.word("tool_choice", {"none", "auto", "required"});
    if (word == "none") to.mode = Mode::kNone;
    if (word == "required") to.mode = Mode::kRequired;
  } else if (const boost::json::object* object = value->if_object()) {
    FieldReader choice(*object, "tool_choice", body);
    if (choice.string("type").value_or("") == "allowed_tools") {
      read_allowed_tools(choice, table, to);
    } else {
      to.mode = Mode::kRequired;
      to.parallel = false;  // one call of the one tool
      read_choice_tool(choice, table, to.names);
    }
  } else {
    body.wrong_type("tool_choice", "a string or an object", *value);
  }
  if (to.mode == Mode::kRequired && table.empty() && body.ok()) {
    body.wrong("tool_choice",
               "Invalid 'tool_choice': a call is required, but there is no tool to call.");
  }
  return to;
}

}  // namespace pippin::api::openai::responses
