// <|inner_prefix|> .. <|inner_suffix|>: Apertus.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kApertusInner = {
    .name = "apertus",
    .marks = {{{Turn::kOpen, "<|inner_prefix|>"}, {Turn::kClose, "<|inner_suffix|>"}}},
    .anywhere = true,
    .signs = {.any = {"<|inner_prefix|>"}, .models = {"apertus"}},
};

}  // namespace pippin::parse
