// Muse: every message is addressed; one to itself is thinking, one to the user content, and calls
// go to the tool.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kMuseMessages = {
    .name = "muse",
    .marks = {{{Turn::kOpen, " to=self<|message|>"},
               {Turn::kClose, " to=user", "<|message|>"},
               {Turn::kClose, " to=", "<|message|>"},
               {Turn::kClose, "<|eom|>"},
               {Turn::kDrop, "<|start|>assistant"}}},
    .anywhere = true,
    .end = "<|eom|><|start|>assistant to=user<|message|>",
    .detection = {.all = {" to=self<|message|>"}, .models = {"muse"}},
};

}  // namespace pippin::parse
