// Command R7B and A: <|START_ACTION|>, a list of JSON calls, <|END_ACTION|>. Command R+ writes
// "Action:" and a fenced list.
#include "parse/tool/rows.h"

namespace pippin::parse {

constexpr ToolDialect kCommandR = {
    .name = "command_r",
    .aliases = {"cohere", "command_a", "cohere2"},
    .start_markers = {"<|START_ACTION|>", "Action:\n```json\n", "Action: ```json\n"},
    .end_markers = {"<|END_ACTION|>", "```"},
    .detection = {.all = {"<|START_ACTION|>"}, .models = {"command-r", "command-a", "c4ai"}},
    .envelope = {.section_begin = "<|START_ACTION|>[\n",
                 .prefix = "    {\"tool_call_id\": \"{index}\", \"tool_name\": \"",
                 .infix = "\", \"parameters\": ",
                 .suffix = "}",
                 .separator = ",\n",
                 .section_end = "\n]<|END_ACTION|>"},
    .head = json_head,
    .tail = json_tail,
};

}  // namespace pippin::parse
