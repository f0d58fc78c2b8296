// <think:opensource> .. </think:opensource>: Hunyuan 3.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kHunyuanThink = {
    .name = "hunyuan",
    .marks = {{{Turn::kOpen, "<think:opensource>"}, {Turn::kClose, "</think:opensource>"}}},
    .signs = {.any = {"<think:opensource>", "'<think{}>'"}, .models = {"hunyuan"}},
};

}  // namespace pippin::parse
