// Muse: a message to the tool, to=f<|message|>, that holds
// <atem:function_calls><atem:invoke name="f"><atem:parameter name="k">v</atem:parameter>.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {
constexpr Tags kTags = {.key_open = "<atem:parameter name=\"",
                        .key_close = "\">",
                        .value_close = "</atem:parameter>",
                        .ends = {"</atem:invoke>", "</atem:function_calls>"}};
}  // namespace

constexpr ToolDialect kMuse = {
    .name = "muse",
    .openers = {"<atem:function_calls>", "<atem:invoke name=\""},
    .closers = {"</atem:function_calls>"},
    .signs = {.all = {"<atem:function_calls>"}, .models = {"muse"}},
    .envelope = {.section_begin = "<atem:function_calls>\n",
                 .prefix = "<atem:invoke name=\"",
                 .infix = "\">\n",
                 .suffix = "</atem:invoke>",
                 .separator = "\n",
                 .section_end = "\n</atem:function_calls>",
                 .address = " to={name}<|message|>",
                 .next_address = "<|eom|><|start|>assistant",
                 .form = ArgumentForm::kTagged,
                 .tags = &kTags},
    .head = invoke_head,
    .tail = invoke_tail,
};

}  // namespace pippin::parse
