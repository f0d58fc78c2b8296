// MiniMax M2: <minimax:tool_call><invoke name="f"><parameter
// name="k">v</parameter></invoke></minimax:tool_call>.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {
constexpr Tags kTags = {.key_open = "<parameter name=\"",
                        .key_close = "\">",
                        .value_close = "</parameter>",
                        .ends = {"</invoke>", "</minimax:tool_call>"}};
}  // namespace

constexpr ToolDialect kMinimaxM2 = {
    .name = "minimax_m2",
    .aliases = {"minimax"},
    .openers = {"<minimax:tool_call>", "<invoke name=\""},
    .closers = {"</minimax:tool_call>"},
    .signs = {.all = {"minimax:tool_call"}, .models = {"minimax"}},
    .envelope = {.section_begin = "<minimax:tool_call>\n",
                 .prefix = "<invoke name=\"",
                 .infix = "\">",
                 .suffix = "</invoke>",
                 .separator = "\n",
                 .section_end = "\n</minimax:tool_call>",
                 .form = ArgumentForm::kTagged,
                 .tags = &kTags},
    .head = invoke_head,
    .tail = invoke_tail,
};

}  // namespace pippin::parse
