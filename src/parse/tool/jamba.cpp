// Jamba and Apriel: <tool_calls>, a list of JSON calls, </tool_calls>.
#include "parse/tool/rows.h"

namespace pippin::parse {

constexpr ToolDialect kJamba = {
    .name = "jamba",
    .aliases = {"apriel"},
    .openers = {"<tool_calls>"},
    .closers = {"</tool_calls>"},
    .signs = {.all = {"<tool_calls>"},
              .none = {"<tool_sep>", "<beginning_of_sentence>"},
              .models = {"jamba", "apriel"}},
    .envelope = {.section_begin = "<tool_calls>[",
                 .prefix = kJsonPrefix,
                 .infix = kJsonInfix,
                 .suffix = kJsonSuffix,
                 .separator = ", ",
                 .section_end = "]</tool_calls>"},
    .head = json_head,
    .tail = json_tail,
};

}  // namespace pippin::parse
