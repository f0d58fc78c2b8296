// Granite 3.2: two headings in words; 3.3: <think> .. </think><response> .. </response>.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kGraniteThoughts = {
    .name = "granite",
    .aliases = {"granite3.2"},
    .marks = {{{Turn::kOpen, "Here is my thought process:"},
               {Turn::kOpen, "Here's my thought process:"},
               {Turn::kClose, "Here is my response:"},
               {Turn::kClose, "Here's my response:"}}},
    .detection = {.any = {"Here is my thought process:"}, .models = {"granite-3.2"}},
};

constexpr ReasoningDialect kGraniteTags = {
    .name = "granite3.3",
    .marks = {{{Turn::kOpen, "<think>"},
               {Turn::kClose, "</think>"},
               {Turn::kDrop, "<response>"},
               {Turn::kDrop, "</response>"}}},
    .detection = {.all = {"<think></think>", "<response></response>"}, .models = {"granite-3.3"}},
};

}  // namespace pippin::parse
