// Qwen3-Coder and the models that write as it does:
// <tool_call><function=f><parameter=k>v</parameter></function></tool_call>.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {
// As the template writes them: a line for each tag and value.
constexpr Tags kLines = {
    .key_open = "<parameter=", .key_close = ">\n", .value_close = "\n</parameter>\n"};
constexpr Tags kSeedLines = {
    .key_open = "<parameter=", .key_close = ">", .value_close = "</parameter>\n"};
}  // namespace

// Qwen3-Coder and Qwen3.5.
constexpr ToolDialect kQwen3Coder = {
    .name = "qwen3_coder",
    .aliases = {"qwen3_xml", "qwen3.5", "qwen35"},
    .start_markers = {"<tool_call>", "<function="},
    .end_markers = {"</tool_call>"},
    .detection = {.all = {"<tool_call>", "<function=", "<parameter="},
                  .none = {"<seed:tool_call>"},
                  .models = {"qwen3-coder", "qwen3_coder", "qwen3.5", "qwen35"}},
    .envelope = {.prefix = "<tool_call>\n<function=",
                 .infix = ">\n",
                 .suffix = "</function>\n</tool_call>",
                 .separator = "\n",
                 .form = ArgumentForm::kTagged,
                 .tags = &kLines},
    .head = tag_head,
    .tail = tag_tail,
};

// Step 3.5 writes the same, and must be stopped behind a call.
constexpr ToolDialect kStep3p5 = {
    .name = "step3p5",
    .aliases = {"step"},
    .start_markers = kQwen3Coder.start_markers,
    .end_markers = kQwen3Coder.end_markers,
    .stops = {"</tool_call>"},
    .detection = {.all = {"<tool_call>", "<parameter=", "<|im_start|>tool_response"},
                  .models = {"step3p5", "step-3.5", "stepfun"}},
    .envelope = kQwen3Coder.envelope,
    .head = tag_head,
    .tail = tag_tail,
};

// Nemotron 3 Nano writes the same.
constexpr ToolDialect kNemotron3 = {
    .name = "nemotron3",
    .start_markers = kQwen3Coder.start_markers,
    .end_markers = kQwen3Coder.end_markers,
    .detection = {.models = {"nemotron-3", "nemotron3", "nemotron_h"}},
    .envelope = kQwen3Coder.envelope,
    .head = tag_head,
    .tail = tag_tail,
};

// Seed-OSS, with a tag of its own around the call.
constexpr ToolDialect kSeedOss = {
    .name = "seed_oss",
    .aliases = {"seed"},
    .start_markers = {"<seed:tool_call>", "<function="},
    .end_markers = {"</seed:tool_call>"},
    .detection = {.all = {"seed:tool_call"}, .models = {"seed-oss", "seed_oss"}},
    .envelope = {.prefix = "<seed:tool_call>\n<function=",
                 .infix = ">\n",
                 .suffix = "</function>\n</seed:tool_call>",
                 .separator = "\n",
                 .form = ArgumentForm::kTagged,
                 .tags = &kSeedLines},
    .head = tag_head,
    .tail = tag_tail,
};

}  // namespace pippin::parse
