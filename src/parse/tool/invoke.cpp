// Dialects that write <invoke name="f"><parameter name="k">v</parameter></invoke>, told apart by
// their markers alone: MiniMax M2 and M3, MiniCPM5, Muse, DeepSeek V3.2.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr Tags kMinimaxM2Tags = {.key_open = "<parameter name=\"",
                                 .key_close = "\">",
                                 .value_close = "</parameter>",
                                 .ends = {"</invoke>", "</minimax:tool_call>"}};

constexpr Tags kMinimaxM3Tags = {.key_open = "]<]minimax[>[<",
                                 .key_close = ">",
                                 .value_close = "]<]minimax[>[</",
                                 .nested = true,
                                 .ends = {"]<]minimax[>[</invoke>", "]<]minimax[>[</tool_call>"}};

constexpr Tags kMinicpmTags = {.key_open = "<param name=\"",
                               .key_close = "\">",
                               .value_close = "</param>",
                               .cdata = true,
                               .ends = {"</function>"}};

constexpr Tags kMuseTags = {.key_open = "<atem:parameter name=\"",
                            .key_close = "\">",
                            .value_close = "</atem:parameter>",
                            .ends = {"</atem:invoke>", "</atem:function_calls>"}};

constexpr Tags kDsmlTags = {.key_open = "<｜DSML｜parameter name=\"",
                            .key_close = "\"",
                            .value_close = "</｜DSML｜parameter>",
                            .attributes = true,
                            .ends = {"</｜DSML｜invoke>"}};

}  // namespace

// <minimax:tool_call><invoke name="f"><parameter name="k">v</parameter></invoke>.
constexpr ToolDialect kMinimaxM2 = {
    .name = "minimax_m2",
    .aliases = {"minimax"},
    .start_markers = {"<minimax:tool_call>", "<invoke name=\""},
    .end_markers = {"</minimax:tool_call>"},
    .detection = {.all = {"minimax:tool_call"}, .models = {"minimax"}},
    .envelope = {.section_begin = "<minimax:tool_call>\n",
                 .prefix = "<invoke name=\"",
                 .infix = "\">",
                 .suffix = "</invoke>",
                 .separator = "\n",
                 .section_end = "\n</minimax:tool_call>",
                 .form = ArgumentForm::kTagged,
                 .tags = &kMinimaxM2Tags},
    .head = invoke_head,
    .tail = invoke_tail,
};

// M2's calls with a mark before every tag; an argument's tag is its name, and objects and lists are
// tags within tags.
constexpr ToolDialect kMinimaxM3 = {
    .name = "minimax_m3",
    .start_markers = {"]<]minimax[>[<tool_call>", "]<]minimax[>[<invoke name=\""},
    .end_markers = {"]<]minimax[>[</tool_call>"},
    .specials = {"]<]minimax[>["},
    .detection = {.all = {"]<]minimax[>["}, .models = {"minimax-m3", "minimax_m3"}},
    .envelope = {.section_begin = "]<]minimax[>[<tool_call>\n",
                 .prefix = "]<]minimax[>[<invoke name=\"",
                 .infix = "\">",
                 .suffix = "]<]minimax[>[</invoke>",
                 .separator = "\n",
                 .section_end = "\n]<]minimax[>[</tool_call>",
                 .form = ArgumentForm::kTagged,
                 .tags = &kMinimaxM3Tags},
    .head = invoke_head,
    .tail = invoke_tail,
};

// <function name="f"><param name="k">v</param></function>.
constexpr ToolDialect kMinicpm5 = {
    .name = "minicpm5",
    .aliases = {"minicpm"},
    .start_markers = {"<function name=\""},
    .detection = {.all = {"<function name=", "<param name="}, .models = {"minicpm5", "minicpm-5"}},
    .envelope = {.prefix = "<function name=\"",
                 .infix = "\">",
                 .suffix = "</function>",
                 .separator = "\n",
                 .form = ArgumentForm::kTagged,
                 .tags = &kMinicpmTags},
    .head = invoke_head,
    .tail = invoke_tail,
};

// The same as M2's in a namespace, inside a message to the tool: to=f<|message|>.
constexpr ToolDialect kMuse = {
    .name = "muse",
    .start_markers = {"<atem:function_calls>", "<atem:invoke name=\""},
    .end_markers = {"</atem:function_calls>"},
    .detection = {.all = {"<atem:function_calls>"}, .models = {"muse"}},
    .envelope = {.section_begin = "<atem:function_calls>\n",
                 .prefix = "<atem:invoke name=\"",
                 .infix = "\">\n",
                 .suffix = "</atem:invoke>",
                 .separator = "\n",
                 .section_end = "\n</atem:function_calls>",
                 .address = " to={name}<|message|>",
                 .next_address = "<|eom|><|start|>assistant",
                 .form = ArgumentForm::kTagged,
                 .tags = &kMuseTags},
    .head = invoke_head,
    .tail = invoke_tail,
};

// From V3.2 on.
constexpr ToolDialect kDeepseekV32 = {
    .name = "deepseek_v32",
    .aliases = {"deepseek_v3.2", "deepseek_v4", "dsml"},
    .start_markers = {"<｜DSML｜function_calls>", "<｜DSML｜tool_calls>",
                      "<｜DSML｜invoke name=\""},
    .end_markers = {"</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"},
    .detection = {.all = {"DSML"}, .models = {"deepseek-v3.2", "deepseek-v4", "deepseek_v4"}},
    .envelope = {.section_begin = "<｜DSML｜function_calls>\n",
                 .prefix = "<｜DSML｜invoke name=\"",
                 .infix = "\">\n",
                 .suffix = "</｜DSML｜invoke>",
                 .separator = "\n",
                 .section_end = "\n</｜DSML｜function_calls>",
                 .form = ArgumentForm::kTagged,
                 .tags = &kDsmlTags},
    .head = invoke_head,
    .tail = invoke_tail,
};

}  // namespace pippin::parse
