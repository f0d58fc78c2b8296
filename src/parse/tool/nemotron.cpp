// Nemotron Nano 2: <TOOLCALL>, a list of JSON calls, </TOOLCALL>.
#include "parse/tool/rows.h"

namespace pippin::parse {

constexpr ToolDialect kNemotron = {
    .name = "nemotron",
    .aliases = {"nemotron2"},
    .openers = {"<TOOLCALL>", "<tool_call>"},
    .closers = {"</TOOLCALL>", "</tool_call>"},
    .signs = {.all = {"<TOOLCALL>"}, .models = {"nemotron"}},
    .envelope = {.section_begin = "<TOOLCALL>[",
                 .prefix = kJsonPrefix,
                 .infix = kJsonInfix,
                 .suffix = kJsonSuffix,
                 .separator = ", ",
                 .section_end = "]</TOOLCALL>"},
    .head = json_head,
    .tail = json_tail,
};

}  // namespace pippin::parse
