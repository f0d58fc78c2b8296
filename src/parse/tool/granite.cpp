// Granite 3: <|tool_call|> and a list of JSON calls. Granite 4 speaks the Hermes dialect.
#include "parse/tool/rows.h"

namespace pippin::parse {

constexpr ToolDialect kGranite = {
    .name = "granite",
    .aliases = {"granite3"},
    .openers = {"<|tool_call|>", "<tool_call>"},
    .closers = {"</tool_call>", "<|end_of_text|>"},
    .signs = {.all = {"<|tool_call|>"}, .none = {"<|/tool_call|>"}, .models = {"granite"}},
    .envelope = {.section_begin = "<|tool_call|>[",
                 .prefix = kJsonPrefix,
                 .infix = kJsonInfix,
                 .suffix = kJsonSuffix,
                 .separator = ", ",
                 .section_end = "]"},
    .head = json_head,
    .tail = json_tail,
};

}  // namespace pippin::parse
