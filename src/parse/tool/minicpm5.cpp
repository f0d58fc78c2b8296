// MiniCPM5: <function name="f"><param name="k">v</param></function>.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr Tags kTags = {.key_open = "<param name=\"",
                        .key_close = "\">",
                        .value_close = "</param>",
                        .cdata = true,
                        .ends = {"</function>"}};

}  // namespace

constexpr ToolDialect kMinicpm5 = {
    .name = "minicpm5",
    .aliases = {"minicpm"},
    .openers = {"<function name=\""},
    .signs = {.all = {"<function name=", "<param name="}, .models = {"minicpm5", "minicpm-5"}},
    .envelope = {.prefix = "<function name=\"",
                 .infix = "\">",
                 .suffix = "</function>",
                 .separator = "\n",
                 .form = ArgumentForm::kTagged,
                 .tags = &kTags},
    .head = invoke_head,
    .tail = invoke_tail,
};

}  // namespace pippin::parse
