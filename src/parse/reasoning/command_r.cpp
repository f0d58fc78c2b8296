// <|START_THINKING|> .. <|END_THINKING|>: Command R7B and A; the answer stands between marks of its
// own.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kCommandThinking = {
    .name = "command_r",
    .aliases = {"cohere", "cohere2"},
    .marks = {{{Turn::kOpen, "<|START_THINKING|>"},
               {Turn::kClose, "<|END_THINKING|>"},
               {Turn::kClose, "<|START_RESPONSE|>"},
               {Turn::kDrop, "<|END_RESPONSE|>"},
               {Turn::kClose, "<|START_TEXT|>"},
               {Turn::kDrop, "<|END_TEXT|>"}}},
    .anywhere = true,
    .end = "<|END_THINKING|><|START_RESPONSE|>",
    .detection = {.any = {"<|START_THINKING|>", "<|START_RESPONSE|>"},
                  .models = {"command-a", "command-r7b"}},
};

}  // namespace pippin::parse
