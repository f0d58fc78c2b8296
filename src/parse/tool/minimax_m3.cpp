// MiniMax M3: M2's calls, but every tag has a mark before it, and an argument's tag is its name;
// objects and lists are tags within tags.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr Tags kTags = {.key_open = "]<]minimax[>[<",
                        .key_close = ">",
                        .value_close = "]<]minimax[>[</",
                        .nested = true,
                        .ends = {"]<]minimax[>[</invoke>", "]<]minimax[>[</tool_call>"}};

}  // namespace

constexpr ToolDialect kMinimaxM3 = {
    .name = "minimax_m3",
    .openers = {"]<]minimax[>[<tool_call>", "]<]minimax[>[<invoke name=\""},
    .closers = {"]<]minimax[>[</tool_call>"},
    .specials = {"]<]minimax[>["},
    .signs = {.all = {"]<]minimax[>["}, .models = {"minimax-m3", "minimax_m3"}},
    .envelope = {.section_begin = "]<]minimax[>[<tool_call>\n",
                 .prefix = "]<]minimax[>[<invoke name=\"",
                 .infix = "\">",
                 .suffix = "]<]minimax[>[</invoke>",
                 .separator = "\n",
                 .section_end = "\n]<]minimax[>[</tool_call>",
                 .form = ArgumentForm::kTagged,
                 .tags = &kTags},
    .head = invoke_head,
    .tail = invoke_tail,
};

}  // namespace pippin::parse
