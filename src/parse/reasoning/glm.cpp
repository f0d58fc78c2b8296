// GLM: <think> .. </think>; its vision models put the answer in a box.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kThinkGlm = {
    .name = "glm4",
    .aliases = {"glm45", "glm47", "glm"},
    .marks = {{{Turn::kOpen, "<think>"},
               {Turn::kClose, "</think>"},
               {Turn::kDrop, "<|begin_of_box|>"},
               {Turn::kDrop, "<|end_of_box|>"}}},
    .detection = {.all = {"<think>", "<|observation|>"}, .models = {"glm4", "glm-4"}},
};

}  // namespace pippin::parse
