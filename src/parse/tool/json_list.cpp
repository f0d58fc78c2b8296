// Dialects that write a list of JSON calls, told apart by their markers alone.
#include "parse/tool/rows.h"

namespace pippin::parse {

// Granite 3. Granite 4 speaks the Hermes dialect.
constexpr ToolDialect kGranite = {
    .name = "granite",
    .aliases = {"granite3"},
    .start_markers = {"<|tool_call|>", "<tool_call>"},
    .end_markers = {"</tool_call>", "<|end_of_text|>"},
    .detection = {.all = {"<|tool_call|>"}, .none = {"<|/tool_call|>"}, .models = {"granite"}},
    .envelope = json_list("<|tool_call|>[", "]"),
    .head = json_head,
    .tail = json_tail,
};

// Jamba and Apriel.
constexpr ToolDialect kJamba = {
    .name = "jamba",
    .aliases = {"apriel"},
    .start_markers = {"<tool_calls>"},
    .end_markers = {"</tool_calls>"},
    .detection = {.all = {"<tool_calls>"},
                  .none = {"<tool_sep>", "<beginning_of_sentence>"},
                  .models = {"jamba", "apriel"}},
    .envelope = json_list("<tool_calls>[", "]</tool_calls>"),
    .head = json_head,
    .tail = json_tail,
};

// A call in each line in place of a list.
constexpr ToolDialect kMinimaxM1 = {
    .name = "minimax_m1",
    .start_markers = {"<tool_calls>"},
    .end_markers = {"</tool_calls>"},
    .detection = {.all = {"<tool_calls>", "<beginning_of_sentence>"}, .models = {"minimax-m1"}},
    .envelope = json_list("<tool_calls>\n", "\n</tool_calls>", "\n"),
    .head = json_head,
    .tail = json_tail,
};

// Nemotron Nano 2.
constexpr ToolDialect kNemotron = {
    .name = "nemotron",
    .aliases = {"nemotron2"},
    .start_markers = {"<TOOLCALL>", "<tool_call>"},
    .end_markers = {"</TOOLCALL>", "</tool_call>"},
    .detection = {.all = {"<TOOLCALL>"}, .models = {"nemotron"}},
    .envelope = json_list("<TOOLCALL>[", "]</TOOLCALL>"),
    .head = json_head,
    .tail = json_tail,
};

// Phi-4-mini and Firefunction.
constexpr ToolDialect kPhi4 = {
    .name = "phi4",
    .aliases = {"functools", "firefunction", "phi4_mini"},
    .start_markers = {"functools[", "<|tool_call|>"},
    .end_markers = {"<|/tool_call|>"},
    .detection = {.any = {"functools", "<|/tool_call|>"},
                  .models = {"phi-4-mini", "phi4-mini", "firefunction"}},
    .envelope = json_list("functools[", "]"),
    .head = json_head,
    .tail = json_tail,
};

// A bare list (the generic dialect reads it), or one behind other models' markers.
constexpr ToolDialect kXlam = {
    .name = "xlam",
    .start_markers = {"[TOOL_CALLS]", "<tool_call>"},
    .end_markers = {"</tool_call>"},
    .detection = {.models = {"xlam"}},
    .envelope = json_list("[", "]"),
    .head = json_head,
    .tail = json_tail,
};

}  // namespace pippin::parse
