// <|channel>thought .. <channel|>: Gemma 4.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kGemmaChannel = {
    .name = "gemma4",
    .aliases = {"gemma"},
    .marks = {{{Turn::kOpen, "<|channel>thought"}, {Turn::kClose, "<channel|>"}}},
    .anywhere = true,
    .signs = {.any = {"<|channel>thought"}, .models = {"gemma-4", "gemma4"}},
};

}  // namespace pippin::parse
