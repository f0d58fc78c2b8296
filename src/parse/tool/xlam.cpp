// xLAM: a bare list of JSON calls (the generic dialect reads it), or one of several marks before
// it.
#include "parse/tool/rows.h"

namespace pippin::parse {

constexpr ToolDialect kXlam = {
    .name = "xlam",
    .openers = {"[TOOL_CALLS]", "<tool_call>"},
    .closers = {"</tool_call>"},
    .signs = {.models = {"xlam"}},
    .envelope = {.section_begin = "[",
                 .prefix = kJsonPrefix,
                 .infix = kJsonInfix,
                 .suffix = kJsonSuffix,
                 .separator = ", ",
                 .section_end = "]"},
    .head = json_head,
    .tail = json_tail,
};

}  // namespace pippin::parse
