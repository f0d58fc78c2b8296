// Seed-OSS: <seed:tool_call><function=f><parameter=k>v</parameter></function></seed:tool_call>.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {
constexpr Tags kLines = {
    .key_open = "<parameter=", .key_close = ">", .value_close = "</parameter>\n"};
}  // namespace

constexpr ToolDialect kSeedOss = {
    .name = "seed_oss",
    .aliases = {"seed"},
    .openers = {"<seed:tool_call>", "<function="},
    .closers = {"</seed:tool_call>"},
    .signs = {.all = {"seed:tool_call"}, .models = {"seed-oss", "seed_oss"}},
    .envelope = {.prefix = "<seed:tool_call>\n<function=",
                 .infix = ">\n",
                 .suffix = "</function>\n</seed:tool_call>",
                 .separator = "\n",
                 .form = ArgumentForm::kTagged,
                 .tags = &kLines},
    .head = tag_head,
    .tail = tag_tail,
};

}  // namespace pippin::parse
