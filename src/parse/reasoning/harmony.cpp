// Harmony, gpt-oss: the analysis channel is thinking, the others are content; headers belong to
// neither.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kHarmonyChannels = {
    .name = "harmony",
    .aliases = {"gpt_oss", "gpt-oss"},
    .marks = {{{Turn::kOpen, "<|channel|>analysis", "<|message|>"},
               {Turn::kClose, "<|channel|>final", "<|message|>"},
               {Turn::kClose, "<|channel|>commentary", "<|message|>"},
               {Turn::kClose, "<|end|>"},
               {Turn::kClose, "<|return|>"},
               {Turn::kDrop, "<|start|>assistant"}}},
    .anywhere = true,
    .end = "<|end|><|start|>assistant<|channel|>final<|message|>",
    .detection = {.all = {"<|channel|>", "<|message|>"}, .models = {"gpt-oss", "gpt_oss"}},
};

}  // namespace pippin::parse
