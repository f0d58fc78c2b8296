// <think> .. </think>: Qwen, DeepSeek, and most others.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kThink = {
    .name = "think",
    .aliases = {"qwen3", "deepseek_r1", "poolside_v1", "step3p5", "minimax_m2", "kimi_k2",
                "nemotron"},
    .marks = {{{Turn::kOpen, "<think>"}, {Turn::kClose, "</think>"}}},
    .signs = {.any = {"</think>", "<think>"},
              .models = {"deepseek-r1", "qwq", "qwen3"},
              // Of this family, but they do not think.
              .others = {"qwen3-coder", "qwen3_coder", "qwen3coder", "instruct-2507"}},
};

}  // namespace pippin::parse
