#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/anthropic/read_message_parts.h"
#include "api/shared/names.h"
#include "api/shared/tool_definition.h"
#include "service/json.h"

namespace pippin::api::anthropic {
namespace {

using service::JsonWriter;
using service::Tool;
using service::ToolChoice;

constexpr size_t kToolsMax = 512;
constexpr size_t kNameMax = 128;

/// A tool that the client runs and the API describes: the request has its type and name only.
/// Source: Anthropic's documentation of each.
struct KnownTool {
  std::string_view type;  // without its date
  std::string_view description;
  std::string_view schema;
};
constexpr KnownTool kKnown[] = {
    {"bash_", "Runs a command in a bash session that stays open between calls.",
     R"({"type":"object","properties":{)"
     R"("command":{"type":"string","description":"Required, unless the session is restarted."},)"
     R"("restart":{"type":"boolean","description":"Whether to restart the session."}}})"},
    {"text_editor_", "Views, creates and edits files.",
     R"({"type":"object","properties":{)"
     R"("command":{"type":"string","enum":["view","create","str_replace","insert"]},)"
     R"("path":{"type":"string","description":"The file or folder."},)"
     R"("file_text":{"type":"string","description":"For create: the whole text."},)"
     R"("old_str":{"type":"string","description":"For str_replace: what is there once."},)"
     R"("new_str":{"type":"string","description":"For str_replace and insert: the new text."},)"
     R"("insert_line":{"type":"integer","description":"For insert: the line in front."},)"
     R"("view_range":{"type":"array","items":{"type":"integer"},)"
     R"("description":"For view: the first and the last line."}},"required":["command","path"]})"},
    {"memory_", "Keeps notes in files under /memories, for later conversations.",
     R"({"type":"object","properties":{"command":{"type":"string",)"
     R"("enum":["view","create","str_replace","insert","delete","rename"]},)"
     R"("path":{"type":"string"},"file_text":{"type":"string"},"old_str":{"type":"string"},)"
     R"("new_str":{"type":"string"},"insert_line":{"type":"integer"},)"
     R"("insert_text":{"type":"string"},"view_range":{"type":"array",)"
     R"("items":{"type":"integer"}},"old_path":{"type":"string"},"new_path":{"type":"string"}},)"
     R"("required":["command"]})"},
};

/// Reads tools one after another into the list for the template.
class ToolsReader {
 public:
  ToolsReader(MessageRequest& asked, std::vector<Tool>& tools) : asked_(asked), tools_(tools) {}

  void read(FieldReader& body, const std::string& path, const boost::json::value& value) {
    const boost::json::object* object = value.if_object();
    if (object == nullptr) return body.wrong_type(path, "an object", value);
    FieldReader tool(*object, path, body);
    read_cache_control(tool, asked_);
    const std::string_view type = tool.string("type").value_or("custom");
    const KnownTool* known = std::ranges::find_if(
        kKnown, [&](const KnownTool& row) { return type.starts_with(row.type); });
    if (type == "custom") {
      read_own(tool);
    } else if (known != std::end(kKnown)) {
      read_known(tool, *known);
    } else {
      leave_out(tool, fmt::format("Tools of type '{}' cannot run here", type));
    }
  }

 private:
  void leave_out(FieldReader& tool, std::string why) {
    asked_.warnings.push_back(
        {"unsupported_tool", tool.path_of(""), std::move(why) + "; this one is left out."});
  }

  std::optional<std::string_view> read_name(FieldReader& tool) {
    const std::optional<std::string_view> name = tool.required_string("name");
    if (!name) return name;
    if (!is_tool_name(*name, kNameMax)) {
      tool.wrong("name", fmt::format("Invalid '{}': letters, digits, '_' and '-' were expected, at "
                                     "most {}.",
                                     tool.path_of("name"), kNameMax));
      return std::nullopt;
    }
    if (std::ranges::find(tools_, *name, &Tool::name) == tools_.end()) return name;
    tool.wrong("name", fmt::format("Invalid '{}': there are two tools named '{}'.",
                                   tool.path_of("name"), *name));
    return std::nullopt;
  }

  void read_own(FieldReader& tool) {
    const std::optional<std::string_view> name = read_name(tool);
    std::string description(tool.string("description").value_or(""));
    const boost::json::object* schema = tool.required_object("input_schema");
    Tool offered;
    offered.strict = tool.boolean("strict").value_or(false);
    // Neither has anything to do here: all tools are shown, and arguments are always streamed.
    for (const char* flag : {"defer_loading", "eager_input_streaming"}) tool.boolean(flag);
    read_examples(tool, description);
    if (!called_by_model(tool) || !name || schema == nullptr || !tool.ok()) return;
    offered.name = *name;
    offered.field = tool.path_of("input_schema");
    JsonWriter(offered.parameters_json).value(*schema);
    offered.definition_json = tool_definition(*name, description, offered.parameters_json);
    tools_.push_back(std::move(offered));
  }

  void read_known(FieldReader& tool, const KnownTool& known) {
    const std::optional<std::string_view> name = read_name(tool);
    if (!name) return;
    tools_.push_back({std::string(*name), std::string(known.schema),
                      tool_definition(*name, known.description, known.schema), false});
  }

  static void read_examples(FieldReader& tool, std::string& description) {
    const boost::json::array* examples = tool.array("input_examples");
    if (examples == nullptr || examples->empty()) return;
    description += "\n\nExamples of its input:";
    for (const boost::json::value& example : *examples) {
      description += '\n';
      JsonWriter(description).value(example);
    }
  }

  // A tool for programs that would run at Anthropic's is none for the model.
  bool called_by_model(FieldReader& tool) {
    const boost::json::array* callers = tool.array("allowed_callers");
    if (callers == nullptr) return true;
    const bool direct = std::ranges::any_of(*callers, [](const boost::json::value& caller) {
      return caller.is_string() && caller.get_string() == "direct";
    });
    if (!direct) leave_out(tool, "Tools that the model may not call directly have no caller here");
    return direct;
  }

  MessageRequest& asked_;
  std::vector<Tool>& tools_;
};

void read_choice(FieldReader& reader, const std::vector<Tool>& tools, ToolChoice& to) {
  const boost::json::object* object = reader.object("tool_choice");
  if (object == nullptr) return;
  FieldReader choice(*object, "tool_choice", reader);
  const std::optional<std::string_view> type = choice.required_string("type");
  to.parallel = !choice.boolean("disable_parallel_tool_use").value_or(false);
  if (!type || *type == "auto") return;
  if (*type == "none") {
    to.mode = ToolChoice::Mode::kNone;
    return;
  }
  if (*type != "any" && *type != "tool") {
    return choice.wrong("type",
                        fmt::format("Invalid 'tool_choice.type': '{}'. Supported values are: "
                                    "'auto', 'any', 'tool' and 'none'.",
                                    *type));
  }
  to.mode = ToolChoice::Mode::kRequired;
  if (tools.empty() && reader.ok())
    return choice.wrong("type",
                        "Invalid 'tool_choice': a call is required, but there is no tool to call.");
  if (*type == "any") return;
  const std::optional<std::string_view> name = choice.required_string("name");
  if (!name || !reader.ok()) return;
  if (std::ranges::find(tools, *name, &Tool::name) == tools.end()) {
    return choice.wrong(
        "name", fmt::format("Invalid 'tool_choice.name': no tool '{}' is in 'tools'.", *name));
  }
  to.names.emplace_back(*name);
  to.parallel = false;  // one call of the one tool
}

}  // namespace

void read_tools(FieldReader& reader, MessageRequest& asked, service::Conversation& to) {
  const boost::json::array* tools = reader.array("tools");
  if (tools != nullptr && tools->size() > kToolsMax) {
    return reader.wrong("tools",
                        fmt::format("Invalid 'tools': at most {} tools were expected.", kToolsMax));
  }
  ToolsReader tools_reader(asked, to.tools);
  for (size_t i = 0; tools != nullptr && i < tools->size() && reader.ok(); ++i)
    tools_reader.read(reader, fmt::format("tools[{}]", i), (*tools)[i]);
  read_choice(reader, to.tools, asked.request.tool_choice);
  // A model does not call what it is not shown. Where a call is forced, a grammar does the rest.
  if (asked.request.tool_choice.mode == ToolChoice::Mode::kNone) to.tools.clear();
}

}  // namespace pippin::api::anthropic
