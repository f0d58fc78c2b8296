// MiniMax M1: <tool_calls>, a JSON call in each line, </tool_calls>.
#include "parse/tool/rows.h"

namespace pippin::parse {

constexpr ToolDialect kMinimaxM1 = {
    .name = "minimax_m1",
    .openers = {"<tool_calls>"},
    .closers = {"</tool_calls>"},
    .signs = {.all = {"<tool_calls>", "<beginning_of_sentence>"}, .models = {"minimax-m1"}},
    .envelope = {.section_begin = "<tool_calls>\n",
                 .prefix = kJsonPrefix,
                 .infix = kJsonInfix,
                 .suffix = kJsonSuffix,
                 .separator = "\n",
                 .section_end = "\n</tool_calls>"},
    .head = json_head,
    .tail = json_tail,
};

}  // namespace pippin::parse
