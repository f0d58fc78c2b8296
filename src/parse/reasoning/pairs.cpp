// Dialects that write thinking between two markers.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

// Qwen, DeepSeek, and most others.
constexpr ReasoningDialect kThink = {
    .name = "think",
    .aliases = {"qwen3", "deepseek_r1", "poolside_v1", "step3p5", "minimax_m2", "kimi_k2",
                "nemotron"},
    .marks = {{{Turn::kOpen, "<think>"}, {Turn::kClose, "</think>"}}},
    .detection = {.any = {"</think>", "<think>"},
                  .models = {"deepseek-r1", "qwq", "qwen3"},
                  // Of this family, but they do not think.
                  .others = {"qwen3-coder", "qwen3_coder", "qwen3coder", "instruct-2507"}},
};

// Apertus.
constexpr ReasoningDialect kApertusInner = {
    .name = "apertus",
    .marks = {{{Turn::kOpen, "<|inner_prefix|>"}, {Turn::kClose, "<|inner_suffix|>"}}},
    .anywhere = true,
    .detection = {.any = {"<|inner_prefix|>"}, .models = {"apertus"}},
};

// Gemma 4.
constexpr ReasoningDialect kGemmaChannel = {
    .name = "gemma4",
    .aliases = {"gemma"},
    .marks = {{{Turn::kOpen, "<|channel>thought"}, {Turn::kClose, "<channel|>"}}},
    .anywhere = true,
    .detection = {.any = {"<|channel>thought"}, .models = {"gemma-4", "gemma4"}},
};

// Hunyuan 3.
constexpr ReasoningDialect kHunyuanThink = {
    .name = "hunyuan",
    .marks = {{{Turn::kOpen, "<think:opensource>"}, {Turn::kClose, "</think:opensource>"}}},
    .detection = {.any = {"<think:opensource>", "'<think{}>'"}, .models = {"hunyuan"}},
};

// MiniMax M3.
constexpr ReasoningDialect kMinimaxThink = {
    .name = "minimax_m3",
    .marks = {{{Turn::kOpen, "<mm:think>"}, {Turn::kClose, "</mm:think>"}}},
    .detection = {.any = {"<mm:think>"}, .models = {"minimax-m3", "minimax_m3"}},
};

// Magistral and Ministral.
constexpr ReasoningDialect kMistralThink = {
    .name = "mistral",
    .aliases = {"magistral", "ministral"},
    .marks = {{{Turn::kOpen, "[THINK]"}, {Turn::kClose, "[/THINK]"}}},
    .anywhere = true,
    .detection = {.any = {"[THINK]"}, .models = {"magistral"}},
};

}  // namespace pippin::parse
