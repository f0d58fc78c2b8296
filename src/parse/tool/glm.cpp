// GLM 4.5 to 4.7, and Ling, Spark and Laguna after it:
// <tool_call>f<arg_key>k</arg_key><arg_value>v</arg_value></tool_call>, with line ends in 4.5.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {
constexpr Tags kLines = {.key_open = "<arg_key>",
                         .key_close = "</arg_key>\n<arg_value>",
                         .value_close = "</arg_value>\n"};
constexpr Tags kTight = {
    .key_open = "<arg_key>", .key_close = "</arg_key><arg_value>", .value_close = "</arg_value>"};
}  // namespace

constexpr ToolDialect kGlm45 = {
    .name = "glm45",
    .aliases = {"glm4", "glm", "poolside_v1", "glm46"},
    .start_markers = {"<tool_call>"},
    .end_markers = {"</tool_call>"},
    .detection = {.all = {"<tool_call>", "<arg_key>"}, .models = {"glm4", "glm-4", "laguna"}},
    .envelope = {.prefix = "<tool_call>",
                 .infix = "\n",
                 .suffix = "</tool_call>",
                 .separator = "\n",
                 .form = ArgumentForm::kTagged,
                 .tags = &kLines},
    .head = tag_head,
    .tail = tag_tail,
};

constexpr ToolDialect kGlm47 = {
    .name = "glm47",
    .start_markers = kGlm45.start_markers,
    .end_markers = kGlm45.end_markers,
    .detection = {.all = {"<tool_call>", "</arg_key><arg_value>"}, .models = {"glm-4.7", "glm47"}},
    .envelope = {.prefix = "<tool_call>",
                 .suffix = "</tool_call>",
                 .form = ArgumentForm::kTagged,
                 .tags = &kTight},
    .head = tag_head,
    .tail = tag_tail,
};

}  // namespace pippin::parse
