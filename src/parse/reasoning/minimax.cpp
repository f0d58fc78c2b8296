// <mm:think> .. </mm:think>: MiniMax M3.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kMinimaxThink = {
    .name = "minimax_m3",
    .marks = {{{Turn::kOpen, "<mm:think>"}, {Turn::kClose, "</mm:think>"}}},
    .signs = {.any = {"<mm:think>"}, .models = {"minimax-m3", "minimax_m3"}},
};

}  // namespace pippin::parse
