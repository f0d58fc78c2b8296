// <thinking> .. </thinking>: Apriel, which may name the final response, and models asked to think
// so.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kThinking = {
    .name = "thinking",
    .aliases = {"apriel"},
    .marks = {{{Turn::kOpen, "<thinking>"},
               {Turn::kOpen, "Here are my reasoning steps:"},
               {Turn::kClose, "</thinking>"},
               {Turn::kClose, "[BEGIN FINAL RESPONSE]"},
               {Turn::kDrop, "[END FINAL RESPONSE]"}}},
    .detection = {.any = {"<thinking>", "[BEGIN FINAL RESPONSE]"}, .models = {"apriel"}},
};

}  // namespace pippin::parse
