// [THINK] .. [/THINK]: Magistral and Ministral.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kMistralThink = {
    .name = "mistral",
    .aliases = {"magistral", "ministral"},
    .marks = {{{Turn::kOpen, "[THINK]"}, {Turn::kClose, "[/THINK]"}}},
    .anywhere = true,
    .signs = {.any = {"[THINK]"}, .models = {"magistral"}},
};

}  // namespace pippin::parse
