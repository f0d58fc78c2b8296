// Hermes, and most models after it: <tool_call>{"name": .., "arguments": {..}}</tool_call>.
#include "parse/tool/rows.h"

namespace pippin::parse {

constexpr ToolDialect kHermes = {
    .name = "hermes",
    .aliases = {"nous", "qwen", "qwen2", "qwen2.5", "qwen3", "exaone", "granite4"},
    .start_markers = {"<tool_call>", "<function=", "<tools>", "<function_call>"},
    .end_markers = {"</tool_call>", "</tools>", "</function_call>"},
    .detection = {.all = {"<tool_call>"},
                  .models = {"hermes", "qwen", "exaone", "smollm3", "mimo"}},
    .envelope = {.prefix = "<tool_call>\n{\"name\": \"",
                 .infix = kJsonInfix,
                 .suffix = "}\n</tool_call>",
                 .separator = "\n"},
    .head = tag_head,
    .tail = tag_tail,
};

}  // namespace pippin::parse
